import assert from "node:assert/strict";
import { test } from "node:test";
import type { Row } from "../src/base/wire.ts";
import { isBehind, isGap, RowStore, seqOf } from "../src/stream/rows.ts";

const row = (seq: number, meaning?: "wrong"): Row => ({
  seq,
  at: "2026-01-01T00:00:00Z",
  kind: "a.b",
  ...(meaning ? { meaning } : {}),
});
const many = (from: number, to: number): Row[] =>
  Array.from({ length: to - from + 1 }, (_, index) => row(from + index));
const seqs = (store: RowStore): number[] =>
  Array.from({ length: store.shown.length }, (_, index) => seqOf(store.shown.at(index) ?? row(-1)));

test("what comes again after a reconnect is left out", () => {
  const store = new RowStore();
  assert.equal(store.add(many(0, 9)).length, 10);
  assert.deepEqual(
    store.add(many(5, 12)).map((each) => each.seq),
    [10, 11, 12],
  );
  assert.equal(store.lastSeq, 12);
});

test("a gap takes its place, and hides nothing that is here", () => {
  const store = new RowStore();
  store.add(many(0, 4));
  store.addGap({ first_seq: 3, last_seq: 8, code: "behind", text: "" });
  store.addGap({ first_seq: 6, last_seq: 7, code: "behind", text: "" });
  store.add(many(8, 10));
  assert.deepEqual(seqs(store), [0, 1, 2, 3, 4, 5, 9, 10]);
  const gap = store.shown.at(5);
  assert.ok(gap && isGap(gap) && gap.last_seq === 8);
});

test("the newest are kept, whether or not they match", () => {
  const store = new RowStore(100);
  store.filter((each) => each.meaning === "wrong");
  for (let seq = 0; seq < 1000; seq += 1) store.add([row(seq, seq % 10 === 0 ? "wrong" : undefined)]);
  assert.equal(store.all.length, 100);
  assert.deepEqual(seqs(store), [900, 910, 920, 930, 940, 950, 960, 970, 980, 990]);
  store.filter(null);
  assert.equal(store.shown.length, 100);
});

test("an event is found, and those after it are counted", () => {
  const store = new RowStore();
  store.filter((each) => each.seq % 2 === 0);
  store.add(many(0, 99));
  assert.equal(store.find(50), 25);
  assert.equal(store.find(51), -1);
  assert.equal(store.countAfter(89), 5);
  assert.equal(store.countAfter(-1), 50);
});

test("a million rows leave what is kept", () => {
  const store = new RowStore(1000);
  for (let from = 0; from < 1_000_000; from += 64) store.add(many(from, from + 63));
  assert.equal(store.all.length, 1000);
  assert.equal(store.find(store.lastSeq), 999);
});

test("another hub begins anew", () => {
  const store = new RowStore();
  store.filter((each) => each.seq > 1);
  store.add(many(0, 9));
  store.clear();
  assert.equal(store.add(many(0, 4)).length, 5);
  assert.deepEqual(seqs(store), [2, 3, 4]);
});

test("a count that is behind the rows tells no rate of now", () => {
  const store = new RowStore();
  assert.equal(isBehind("2026-01-01T00:00:00Z", store.newestAt), false, "there is no row yet");
  store.add([{ ...row(0), at: "2026-01-01T00:00:09Z" }]);
  assert.equal(isBehind("2026-01-01T00:00:08Z", store.newestAt), false);
  assert.equal(isBehind("2026-01-01T00:00:03Z", store.newestAt), true);
  assert.equal(isBehind("", store.newestAt), false, "what counts has told no time yet");
  store.addGap({ first_seq: 1, last_seq: 8, code: "behind", text: "" });
  assert.equal(store.newestAt, "");
});
