import assert from "node:assert/strict";
import { test } from "node:test";
import { filterOf, kindPattern, partsOf, queryOf, showsWrongAlone, wholeTest } from "../src/base/filter.ts";
import type { Row } from "../src/base/wire.ts";

const failed: Row = {
  seq: 1,
  at: "",
  kind: "tool.failed",
  agent: "desk-2",
  agent_id: "a2",
  meaning: "wrong",
  outcome: "failed",
  words: "Payment",
};
const posted: Row = { seq: 2, at: "", kind: "envelope.posted", agent: "desk-1", agent_id: "a1", tenant: "eu" };

const passes = (params: Record<string, string[]>, row: Row): boolean => wholeTest(filterOf(params))?.(row) ?? true;

test("kinds are patterns", () => {
  assert.ok(kindPattern("tool.*")("tool.failed"));
  assert.ok(!kindPattern("tool.*")("toolx.failed"));
  assert.ok(kindPattern("*.failed")("tool.failed"));
  assert.ok(!kindPattern("tool.failed")("tool.failed2"));
});

test("a pattern of signs that mean much elsewhere is text", () => {
  assert.ok(!kindPattern("(a+)+*")("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"));
  assert.ok(kindPattern("(a+)+*")("(a+)+b"));
});

test("fields are joined by and, values of one by or", () => {
  assert.ok(passes({ kind: ["tool.*", "envelope.*"], agent: ["desk-1"] }, posted));
  assert.ok(!passes({ kind: ["tool.*"], agent: ["desk-1"] }, posted));
  assert.ok(passes({ agent: ["a2"] }, failed));
  assert.ok(passes({ text: ["payMENT"] }, failed));
});

test("the legend shows a part, and all of it is no filter", () => {
  assert.ok(!passes({ show: ["wrong"] }, posted));
  assert.ok(passes({ show: ["other"] }, posted));
  assert.equal(wholeTest(filterOf({ show: ["wrong", "attention", "other"] })), null);
});

test("names of objects are values like any other", () => {
  assert.ok(!passes({ agent: ["__proto__"] }, posted));
  assert.equal(wholeTest(filterOf({ constructor: ["x"] })), null);
});

test("the server is asked for what the legend does not say", () => {
  assert.deepEqual(queryOf(filterOf({ kind: ["a.*"], text: ["x"], show: ["wrong"] })), { kind: ["a.*"], text: "x" });
});

test("chips have names, and count what there is too much of", () => {
  const parts = partsOf(filterOf({ channel: ["1", "2"], agent: ["a2"] }), (field, value) => `${field} ${value}`);
  assert.deepEqual(
    parts.map((part) => part.value),
    ["agent a2", "any of 2"],
  );
});

test("words stay plain where all is wrong", () => {
  assert.ok(showsWrongAlone(filterOf({ show: ["wrong"] })));
  assert.ok(showsWrongAlone(filterOf({ kind: ["tool.failed"] })));
  assert.ok(!showsWrongAlone(filterOf({ kind: ["tool.*"] })));
});
