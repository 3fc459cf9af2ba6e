import assert from "node:assert/strict";
import { test } from "node:test";
import { agentColour, familyOf, signOf } from "../src/base/kinds.ts";
import { parsePlace, placeText, withParams } from "../src/base/router.ts";
import { BINS, Bins, sums } from "../src/live/bins.ts";

test("a place is the same after its text was read", () => {
  const place = { view: "channels" as const, id: "a/b c%", params: { kind: ["tool.*", "a&b=c"], sel: ["12"] } };
  assert.deepEqual(parsePlace(placeText(place)), place);
});

test("a place that is none is Live", () => {
  assert.equal(parsePlace("").view, "live");
  assert.equal(parsePlace("#/nowhere?x=1").view, "live");
  assert.equal(parsePlace("#/runs/%zz").id, "%zz");
});

test("parameters named like parts of objects harm nothing", () => {
  const place = parsePlace("#/live?__proto__=1&constructor=2&__proto__=3");
  assert.deepEqual(Object.keys(place.params), ["__proto__", "constructor"]);
  assert.equal(({} as Record<string, unknown>)["1"], undefined);
});

test("an empty parameter is taken away", () => {
  const place = withParams(parsePlace("#/live?kind=a&sel=1"), { kind: null, sel: "2", text: "" });
  assert.equal(placeText(place), "#/live?sel=2");
});

test("an agent has the same colour everywhere, and eight are in use", () => {
  assert.equal(agentColour("desk-1"), agentColour("desk-1"));
  assert.equal(new Set(Array.from({ length: 200 }, (_, index) => agentColour(`agent-${index}`))).size, 8);
});

test("kinds have families, and others' kinds a diamond", () => {
  assert.deepEqual(
    [familyOf("tool.called"), familyOf("ticket.solved"), familyOf("constructor.x")],
    ["tool", "own", "own"],
  );
  assert.equal(signOf("expectation.violated"), "expectation");
});

test("bins are those of the server before the page came, and its own after", () => {
  const bins = new Bins(300);
  const now = 1_800_000_000_000;
  const asked = bins.asked(now);
  const start = Date.parse(asked.since) / 1000;
  bins.learn({ start, width_seconds: 2, bins: Array.from({ length: BINS }, () => [0, 0, 10]) });
  bins.coverFrom(now - 19_500);
  bins.add({ seq: 1, at: new Date(now - 1000).toISOString(), kind: "a.b", meaning: "wrong" });
  const { bins: list } = bins.window(now);
  assert.equal(list.length, BINS);
  assert.deepEqual(list.at(-2), [1, 0, 0]);
  assert.deepEqual(list[0], [0, 0, 10]);
  assert.equal(sums(list)[2], (BINS - 10) * 10);
});
