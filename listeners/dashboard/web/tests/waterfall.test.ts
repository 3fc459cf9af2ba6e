import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunView, SpanView } from "../src/base/boards.ts";
import { arrowsOf, barsOf, endOf, labelOf, type Scale, ticksOf } from "../src/views/runs/geometry.ts";
import { hasFailed, isWaiting, passes, sorted } from "../src/views/runs/order.ts";
import { rowsOf } from "../src/views/runs/spans.ts";

const START = Date.parse("2026-01-01T00:00:00Z");
const at = (second: number): string => new Date(START + second * 1000).toISOString();

function span(number: number, from: number, to: number | null, more: Partial<SpanView> = {}): SpanView {
  return {
    number,
    level: 0,
    family: "turn",
    span_id: `${number}`,
    name: "",
    agent: "a",
    started_at: at(from),
    started_seq: number,
    ended_at: to === null ? "" : at(to),
    outcome: to === null ? "open" : "ok",
    detail: "",
    preview: "",
    is_recorded: false,
    ...more,
  };
}

const SCALE: Scale = { from: START, to: START + 100_000, left: 0, width: 1000 };
const MEASURES = { rowHeight: 24, middle: 12 };
const MOMENTS = { now: START + 100_000, restarts: [] };
const bars = (...spans: SpanView[]) => barsOf(rowsOf(spans, "cause", new Set()), SCALE, MOMENTS, MEASURES);
const EDGES = { left: 0, right: 1000 };

test("a bar goes from the beginning of a part to its end, an open one to now", () => {
  const found = bars(span(0, 10, 20), span(1, 50, null));
  assert.deepEqual(
    found.map((bar) => [bar.left, bar.right, bar.y]),
    [
      [100, 200, 12],
      [500, 1000, 36],
    ],
  );
});

test("what a restart has torn ended when the hub was last heard of", () => {
  const restart = { down_at: at(20), up_at: at(25), was_stopped: false };
  const torn = span(0, 10, 26, { outcome: "abandoned" });
  assert.equal(endOf(torn, START, [restart]), START + 20_000);
  assert.equal(endOf({ ...torn, outcome: "failed" }, START, [restart]), START + 26_000);
  assert.equal(endOf(torn, START, []), START + 26_000);
});

test("a hand-over is an arrow from the end of a bar to the beginning of the next", () => {
  const found = bars(span(0, 10, 20), span(1, 30, 40), span(2, 50, 60));
  const [arrow] = arrowsOf([{ at: "", from_agent: "", to_agent: "", reason: "", from_span: 0, to_span: 2 }], found);
  assert.equal(arrow?.path, "M199 19V60H499");
  const gone = { at: "", from_agent: "", to_agent: "", reason: "", from_span: 0, to_span: 9 };
  assert.deepEqual(arrowsOf([gone], found), [], "to a part that is not shown there is none");
});

test("words stand to the right of a bar, past an arrow, or to its left where there is no room", () => {
  const found = bars(span(0, 10, 20), span(1, 15, 19), span(2, 30, 40), span(3, 60, null));
  const arrows = arrowsOf([{ at: "", from_agent: "", to_agent: "", reason: "", from_span: 0, to_span: 2 }], found);
  const label = (index: number, ...texts: string[]) => labelOf(found[index] as never, texts, arrows, EDGES);
  assert.deepEqual(label(2, "1 s"), { x: 408, anchor: "start", text: "1 s" });
  assert.deepEqual(label(1, "1 s"), { x: 206, anchor: "start", text: "1 s" }, "the arrow is at 199");
  assert.deepEqual(label(3, "40 s, open"), { x: 592, anchor: "end", text: "40 s, open" });
  const wide = bars(span(0, 3, null))[0] as never;
  assert.deepEqual(labelOf(wide, ["97 s, open", "97"], [], EDGES)?.text, "97", "the shorter words have room");
  assert.equal(labelOf(wide, ["97 s, open"], [], EDGES), null);
});

test("marks of time have a distance that can be read, at any length", () => {
  for (const ms of [1, 900, 44_000, 3_600_000, 500 * 3_600_000]) {
    const ticks = ticksOf({ ...SCALE, to: START + ms });
    assert.ok(ticks.length >= 2 && ticks.length <= 13, `${ms} ms: ${ticks.length}`);
  }
  assert.deepEqual(
    ticksOf({ ...SCALE, to: START + 44_000 }).map((tick) => tick.words),
    ["0", "+5 s", "+10 s", "+15 s", "+20 s", "+25 s", "+30 s", "+35 s", "+40 s"],
  );
});

test("rows are a tree, the turns of each agent together, or in the order of time", () => {
  const spans = [
    span(0, 0, 9, { agent: "a" }),
    span(1, 8, 9, { level: 1, parent: 0, family: "tool" }),
    span(2, 1, 5, { agent: "b" }),
    span(3, 6, 7, { agent: "a" }),
  ];
  const numbers = (...asked: Parameters<typeof rowsOf>) => rowsOf(...asked).map((row) => row.span.number);
  assert.deepEqual(numbers(spans, "cause", new Set()), [0, 1, 2, 3]);
  assert.deepEqual(numbers(spans, "agent", new Set()), [0, 1, 3, 2]);
  assert.deepEqual(numbers(spans, "time", new Set()), [0, 2, 3, 1]);
  assert.deepEqual(numbers(spans, "cause", new Set(["0"])), [0, 2, 3], "what is folded hides what is in it");
});

test("open runs stand first, then those in which a turn has failed, then the newest", () => {
  const run = (title: string, second: number, more: Partial<RunView> = {}): RunView =>
    ({
      title,
      agents: ["coder"],
      started_at: at(second),
      open: 0,
      turns: 1,
      failed: 0,
      bars: [],
      ...more,
    }) as unknown as RunView;
  const failed = { failed: 1, bars: [{ start: 0, seconds: 1, outcome: "failed" }] };
  const runs = [run("old", 1), run("new", 9), run("failed", 2, failed), run("open", 0, { open: 1 })];
  const asked = run("asked a person", 8, { waiting: 1 });
  assert.deepEqual([asked, ...runs].map(isWaiting), [true, false, false, false, false]);
  assert.deepEqual(
    sorted([...runs, asked], "open").map((each) => each.title),
    ["asked a person", "open", "failed", "new", "old"],
  );
  const made = run("a call of it failed", 10, { failed: 1, bars: [{ start: 0, seconds: 1, outcome: "ok" }] });
  assert.deepEqual(
    sorted([...runs, made], "open").map((each) => each.title),
    ["open", "failed", "a call of it failed", "new", "old"],
  );
  assert.deepEqual(
    [passes(made, "CALL"), passes(made, "Coder"), passes(made, "x"), passes(made, "")],
    [true, true, false, true],
  );
});

test("a run of calls alone has failed if the last one has", () => {
  const bar = (outcome: string) => ({ start: 0, seconds: 1, outcome });
  const run = (turns: number, ...outcomes: string[]) => ({ turns, bars: outcomes.map(bar) }) as unknown as RunView;
  const found = [run(0, "failed", "ok"), run(0, "ok", "failed"), run(2, "failed", "ok"), run(0)].map(hasFailed);
  assert.deepEqual(found, [false, true, true, false]);
});
