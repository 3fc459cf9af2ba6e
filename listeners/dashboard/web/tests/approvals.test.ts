import assert from "node:assert/strict";
import { test } from "node:test";
import type { ApprovalView } from "../src/base/boards.ts";
import { argumentWords, countdown, deadlineOf, isHigh, stepsOf, tally } from "../src/views/approvals/words.ts";

const decided = (state: string, at: string, seconds: number, by: string[] = ["ann"]): ApprovalView =>
  ({ state, decided_at: at, waited_seconds: seconds, decided_by: by, is_failure: false }) as unknown as ApprovalView;

test("what is left has two figures for the smaller unit, so that it does not shift", () => {
  assert.equal(countdown(425_000), "7 min 05 s");
  assert.equal(countdown(48_900), "48 s");
  assert.equal(countdown(-1), "0 s");
  assert.equal(countdown(600_000), "10 min");
});

test("a deadline goes by when the board was read", () => {
  assert.equal(deadlineOf({ seconds_left: 2 } as ApprovalView, 1000), 3000);
  assert.equal(deadlineOf({ seconds_left: null } as unknown as ApprovalView, 1000), null);
});

test("arguments are words, wherever their JSON is cut off", () => {
  assert.equal(argumentWords('{"cabin":"business","to":"SFO"}'), "cabin=business, to=SFO");
  assert.equal(argumentWords('{"a": 1, "b": {"c": [1,2]}}'), "a=1, b={c=[1, 2]}");
  assert.equal(argumentWords('{"big":"xxxx…'), "big=xxxx…");
  assert.equal(argumentWords("just text"), "just text");
  assert.equal(argumentWords('{"a":"\\u202egnp"}'), "a=\\u202egnp");
});

test("levels have four steps, and others none", () => {
  assert.deepEqual(["low", "medium", "high", "critical", "constructor", ""].map(stepsOf), [1, 2, 3, 4, 0, 0]);
  assert.deepEqual(["medium", "high"].map(isHigh), [false, true]);
});

test("what was decided today is counted, and the median is that of people", () => {
  const midnight = Date.parse("2026-11-29T00:00:00Z");
  const rows = [
    decided("approved", "2026-11-29T08:00:00Z", 10),
    decided("approved", "2026-11-29T09:00:00Z", 30),
    decided("denied", "2026-11-29T09:00:00Z", 20),
    decided("expired", "2026-11-29T09:00:00Z", 600, []),
    decided("approved", "2026-11-28T09:00:00Z", 1),
    decided("approved", "no time", 1),
  ];
  const sums = tally(rows, midnight);
  assert.equal(sums.today, 4);
  assert.equal(sums.words, "2 approved, 1 denied, 1 expired");
  assert.equal(sums.median, 20_000);
});

test("without a verdict there is no median", () => {
  assert.deepEqual(tally([], 0), { today: 0, words: "", median: null });
});
