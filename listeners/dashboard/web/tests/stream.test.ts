import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import type { Told } from "../src/stream/connection.ts";
import { Exchange, NOTHING_HAD } from "../src/stream/hub.ts";

/** Stands for the browser's: it says what it was asked for, and is given what the server would say. */
class Source extends EventTarget {
  static readonly CLOSED = 2;
  static all: Source[] = [];
  readonly url: string;
  readyState = 1;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;

  constructor(url: URL) {
    super();
    this.url = url.href;
    Source.all.push(this);
  }

  close(): void {
    this.readyState = Source.CLOSED;
  }

  say(type: string, data: unknown, id = ""): void {
    this.dispatchEvent(new MessageEvent(type, { data: JSON.stringify(data), lastEventId: id }));
  }
}

Object.assign(globalThis, { EventSource: Source });

const newest = (): Source => Source.all.at(-1) as Source;
const rows = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => ({ seq: from + index }));

class Tab {
  readonly told: Told[] = [];
  readonly tell = (told: Told) => void this.told.push(told);

  get seqs(): number[] {
    return this.told.flatMap((told) => (told.type === "rows" ? JSON.parse(told.data) : [])).map((row) => row.seq);
  }
}

beforeEach(() => {
  Source.all = [];
});

test("tabs share a connection, and the second gets what the first has seen", () => {
  const exchange = new Exchange("http://hub/ops/");
  const [first, second] = [new Tab(), new Tab()];
  exchange.join("", first, NOTHING_HAD);
  newest().say("rows", rows(0, 9), "c9");
  exchange.join("", second, NOTHING_HAD);
  newest().say("rows", rows(10, 11), "c11");
  assert.equal(Source.all.length, 1);
  assert.equal(newest().url, "http://hub/ops/api/stream?boards=1&last=2000");
  assert.deepEqual(second.seqs, first.seqs);
  exchange.leave("", first);
  exchange.leave("", second);
  assert.equal(newest().readyState, Source.CLOSED);
});

test("a tenant has a connection of its own", () => {
  const exchange = new Exchange("http://hub/");
  const tabs = [new Tab(), new Tab()] as const;
  exchange.join("eu", tabs[0], NOTHING_HAD);
  exchange.join("us", tabs[1], NOTHING_HAD);
  assert.deepEqual(
    Source.all.map((source) => new URL(source.url).searchParams.get("tenant")),
    ["eu", "us"],
  );
  exchange.leave("eu", tabs[0]);
  exchange.leave("us", tabs[1]);
});

test("what is lost is told with the time of the next try, which goes on from the last row", () => {
  const exchange = new Exchange("http://hub/");
  const tab = new Tab();
  const shared = exchange.join("", tab, NOTHING_HAD);
  newest().say("rows", rows(0, 9), "c9");
  newest().onerror?.();
  const lost = tab.told.at(-1);
  assert.ok(lost?.type === "lost" && !lost.refused && lost.againAt > Date.now());
  shared.again();
  assert.equal(new URL(newest().url).searchParams.get("since"), "c9");
  exchange.leave("", tab);
});

test("a tab that slept too long is told which events it has missed", () => {
  const exchange = new Exchange("http://hub/");
  const [awake, asleep] = [new Tab(), new Tab()];
  exchange.join("", awake, NOTHING_HAD);
  for (let from = 0; from < 64_000; from += 64) newest().say("rows", rows(from, from + 63), `c${from + 63}`);
  exchange.join("", asleep, { cursor: "c99", seq: 99 });
  const gap = asleep.told[0];
  assert.ok(gap?.type === "gap");
  const { first_seq, last_seq } = JSON.parse(gap.data);
  assert.equal(first_seq, 100);
  assert.equal(last_seq + 1, asleep.seqs[0]);
  assert.equal(asleep.seqs.at(-1), 63_999);
  exchange.leave("", awake);
  exchange.leave("", asleep);
});

test("a tab that wakes up alone goes on from its own place", () => {
  const exchange = new Exchange("http://hub/");
  const tab = new Tab();
  exchange.join("", tab, { cursor: "c99", seq: 99 });
  assert.equal(new URL(newest().url).searchParams.get("since"), "c99");
  newest().say("rows", rows(100, 101), "c101");
  assert.deepEqual(
    tab.told.map((told) => told.type),
    ["rows"],
  );
  exchange.leave("", tab);
});

test("after another hub nothing of the one before is told", () => {
  const exchange = new Exchange("http://hub/");
  const [first, second] = [new Tab(), new Tab()];
  exchange.join("", first, NOTHING_HAD);
  newest().say("rows", rows(500, 509), "c509");
  newest().say("stale", { code: "other_hub" }, "");
  newest().say("rows", rows(0, 3), "d3");
  exchange.join("", second, NOTHING_HAD);
  assert.deepEqual(second.seqs, [0, 1, 2, 3]);
  exchange.leave("", first);
  exchange.leave("", second);
});
