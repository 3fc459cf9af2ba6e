import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../src/base/format.ts";

test("thousands have commas, and what is unknown is a dash", () => {
  assert.deepEqual([0, 999, 1000, 2_184_092, -1234, null, Number.NaN].map(format.number), [
    "0",
    "999",
    "1,000",
    "2,184,092",
    "-1,234",
    "–",
    "–",
  ]);
});

test("durations have the unit that people would use", () => {
  const told = [0, 0.4, 40, 999.4, 999.6, 1840, 19_400, 59_960, 242_000, 7_500_000, 187_200_000].map(format.duration);
  const wanted = [
    "0 ms",
    "< 1 ms",
    "40 ms",
    "999 ms",
    "1.00 s",
    "1.84 s",
    "19.4 s",
    "59 s",
    "4 min 2 s",
    "2 h 5 min",
    "2 d 4 h",
  ];
  assert.deepEqual(told, wanted);
});

test("an age has one unit and is never negative", () => {
  assert.deepEqual([-5, 6100, 61_000, 7_300_000, 864_000_000].map(format.age), ["0 s", "6 s", "1 min", "2 h", "10 d"]);
});

test("money and bytes", () => {
  assert.deepEqual([0, 0.004, 0.74, 1234.5, undefined].map(format.money), [
    "$0.00",
    "$0.0040",
    "$0.74",
    "$1,234.50",
    "–",
  ]);
  assert.deepEqual([0, 1023, 1024, 432_013_312, 2_244_000_000].map(format.bytes), [
    "0 B",
    "1023 B",
    "1.00 KiB",
    "412 MiB",
    "2.09 GiB",
  ]);
});

test("money is rounded as a whole", () => {
  assert.equal(format.money(1.999), "$2.00");
  assert.equal(format.money(999.999), "$1,000.00");
});

test("what does not show, or turns lines around, is written out", () => {
  assert.equal(format.visible("a\u202egnp.exe\u0007\u200b"), "a\\u202egnp.exe\\u0007\\u200b");
  assert.equal(format.visible("line\n\tnext é 漢 😀"), "line\n\tnext é 漢 😀");
});

test("an instant that is none has no time", () => {
  assert.equal(format.clock("yesterday"), "–");
  assert.equal(format.whole(""), "");
});

test("a time of day is the last one, and no other text is one", () => {
  const now = new Date(2026, 10, 29, 15, 0, 0).getTime();
  assert.equal(format.timeOfDay("14:59", now), now - 60_000);
  assert.equal(format.timeOfDay("15:00:01", now), new Date(2026, 10, 28, 15, 0, 1).getTime());
  for (const text of ["", "24:00", "12:60", "12", "1:2", "12:00:00:00"])
    assert.ok(Number.isNaN(format.timeOfDay(text, now)));
});

test("words of others end with a full stop where a sentence follows", () => {
  assert.deepEqual(["restore it", "Restore it.", "why?", "cut…"].map(format.sentence), [
    "restore it.",
    "Restore it.",
    "why?",
    "cut…",
  ]);
});
