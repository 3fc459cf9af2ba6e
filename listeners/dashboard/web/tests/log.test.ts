import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePlace } from "../src/base/router.ts";
import { partsOf, queryOf, typedPart, valueWords, withoutPart, withPart } from "../src/views/log/query.ts";

test("a query is made of the fields of the address, and of nothing else", () => {
  const { params } = parsePlace("#/log?kind=tool.*&kind=model.*&since=-10m&sel=12&__proto__=1&order=oldest");
  assert.deepEqual(queryOf(params), { kind: ["tool.*", "model.*"], since: "-10m" });
  assert.deepEqual(
    partsOf(params).map(({ field, value }) => `${field} ${value}`),
    ["kind tool.*", "kind model.*", "since -10m"],
  );
});

test("outcomes are asked for in the words of records", () => {
  const { params } = parsePlace("#/log?outcome=failed&outcome=denied&outcome=ok");
  assert.deepEqual(queryOf(params).outcome, ["failure", "denied", "success"]);
});

test("what is typed names a field with a colon, an equals sign or a space", () => {
  for (const text of ["agent:coder", "agent = coder", "AGENT coder"])
    assert.deepEqual(typedPart(text), { field: "agent", value: "coder" });
  assert.equal(typedPart("nobody:coder"), null);
  assert.equal(typedPart("agent:"), null);
  assert.deepEqual(typedPart("text:a: b"), { field: "text", value: "a: b" });
});

test("parts are added once, and taken away alone", () => {
  const { params } = parsePlace("#/log?kind=a.b&text=x");
  assert.deepEqual(withPart(params, { field: "kind", value: "a.b" }), { kind: ["a.b"] });
  assert.deepEqual(withPart(params, { field: "kind", value: "c.d" }), { kind: ["a.b", "c.d"] });
  assert.deepEqual(withPart(params, { field: "text", value: "y" }), { text: "y" });
  assert.deepEqual(withoutPart(params, { field: "kind", value: "a.b" }), { kind: [] });
});

test("an instant of today is shown as its time", () => {
  const today = Date.parse("2026-11-29T12:00:00Z");
  assert.match(valueWords({ field: "since", value: "2026-11-29T12:07:00Z" }, today), /^\d\d:\d\d$/);
  assert.match(valueWords({ field: "since", value: "2026-11-20T12:07:00Z" }, today), /^2026-11-20 \d\d:\d\d$/);
  assert.equal(valueWords({ field: "since", value: "-10m" }, today), "-10m");
  assert.equal(valueWords({ field: "kind", value: "2026-11-29T12:07:00Z" }, today), "2026-11-29T12:07:00Z");
});
