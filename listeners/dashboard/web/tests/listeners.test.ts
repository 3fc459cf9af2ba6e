import assert from "node:assert/strict";
import { test } from "node:test";
import type { ListenerRow } from "../src/base/wire.ts";
import { countOf, remarkOf, sorted, stateOf } from "../src/views/listeners/words.ts";

const row = (listener: string, given: Partial<ListenerRow> = {}): ListenerRow =>
  ({ listener, state: "attached", is_troubled: false, last_error: "", reason: "", ...given }) as ListenerRow;

test("what gets nothing against its program's wish stands first, then the troubled, and the detached last", () => {
  const rows = [
    row("gone", { state: "detached", reason: "detached", is_troubled: true }),
    row("well"),
    row("given up", { state: "detached", reason: "failed more than 3 times in 5 seconds", is_troubled: true }),
    row("dropped", { is_troubled: true }),
    row("stopped", { phase: "suspended", is_troubled: true }),
  ];
  assert.deepEqual(
    sorted(rows).map((each) => each.listener),
    ["given up", "stopped", "dropped", "well", "gone"],
  );
  assert.deepEqual(
    rows.map((each) => stateOf(each).tone),
    ["quiet", "good", "wrong", "good", "wrong"],
  );
  assert.equal(countOf(rows, "suspended"), 1);
});

test("what the hub tells of a listener is newer than what events have told", () => {
  assert.equal(stateOf(row("a")).words, "running");
  assert.equal(stateOf(row("a", { phase: "catching_up" })).words, "catching up");
  assert.equal(stateOf(row("a", { phase: "\u202ex" })).words, "\\u202ex");
});

test("the last error says how long ago it was, but not of one that is suspended", () => {
  const now = Date.parse("2026-11-29T12:00:00Z");
  const error = { last_error: "timed out", last_error_at: "2026-11-29T11:38:00Z" };
  assert.equal(remarkOf(row("a", error), now), "timed out, 22 min ago");
  assert.equal(remarkOf(row("a", { ...error, phase: "suspended" }), now), "timed out");
  assert.equal(remarkOf(row("a", { phase: "catching_up", since_at: "2026-11-29T11:59:18Z" }), now), "started 42 s ago");
});
