// Where things of a waterfall stand, in pixels: pure, so that it can be tested.

import type { HandOverView, RestartView, SpanView } from "../../base/boards.ts";
import { duration, instant } from "../../base/format.ts";
import type { Row } from "./spans.ts";

export interface Scale {
  /** Milliseconds since 1970 at the left edge, and at the right one. */
  from: number;
  to: number;
  /** Pixels. */
  left: number;
  width: number;
}

export function place(scale: Scale, at: number): number {
  const share = (at - scale.from) / Math.max(1, scale.to - scale.from);
  return scale.left + Math.max(0, Math.min(1, share)) * scale.width;
}

/** When a span ended, in milliseconds since 1970; of an open one, now; of one that a restart has torn, when that was. */
export function endOf(span: SpanView, now: number, restarts: readonly RestartView[]): number {
  if (span.outcome === "open") return now;
  const begun = instant(span.started_at);
  const end = Math.max(begun, span.ended_at ? instant(span.ended_at) : begun);
  if (span.outcome !== "abandoned") return end;
  const torn = restarts.find((each) => instant(each.down_at) >= begun && instant(each.up_at) <= end);
  return torn ? instant(torn.down_at) : end;
}

const STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5,
];

export interface Tick {
  x: number;
  words: string;
}

/** Marks of time, a hundred pixels apart or more. */
export function ticksOf(scale: Scale): Tick[] {
  const span = scale.to - scale.from;
  const most = Math.max(1, Math.floor(scale.width / 90));
  const step = STEPS.find((each) => span / each <= most) ?? Math.ceil(span / most / 36e5) * 36e5;
  const ticks: Tick[] = [];
  for (let at = 0; at <= span; at += step) {
    ticks.push({ x: place(scale, scale.from + at), words: at === 0 ? "0" : `+${tickWords(at)}` });
  }
  return ticks;
}

function tickWords(ms: number): string {
  if (ms < 1000) return `${ms} ms`;
  if (ms < 60_000) return `${ms / 1000} s`;
  return duration(ms);
}

export interface Bar {
  row: Row;
  index: number;
  left: number;
  right: number;
  /** The middle of it. */
  y: number;
  height: number;
}

export interface Measures {
  rowHeight: number;
  /** From the top of a row to the middle of its bar. */
  middle: number;
}

export interface Moments {
  /** Milliseconds since 1970. */
  now: number;
  restarts: readonly RestartView[];
}

export function barsOf(rows: readonly Row[], scale: Scale, moments: Moments, measures: Measures): Bar[] {
  return rows.map((row, index) => {
    const left = place(scale, instant(row.span.started_at));
    const least = row.span.outcome === "abandoned" ? 7 : 3;
    const right = Math.max(left + least, place(scale, endOf(row.span, moments.now, moments.restarts)));
    const isTurn = row.span.family === "turn" || row.span.family === "task";
    return { row, index, left, right, y: index * measures.rowHeight + measures.middle, height: isTurn ? 14 : 10 };
  });
}

export interface Over {
  key: string;
  path: string;
  head: string;
  /** Where it goes down or up, and between which heights. */
  x: number;
  top: number;
  bottom: number;
  /** The bar that it goes to. */
  end: Bar;
  words: string;
}

/** Hand-overs as arrows, from the end of a bar to the beginning of the next. */
export function arrowsOf(handOvers: readonly HandOverView[], bars: readonly Bar[]): Over[] {
  const byNumber = new Map(bars.map((bar) => [bar.row.span.number, bar]));
  const found: Over[] = [];
  for (const each of handOvers) {
    const from = byNumber.get(each.from_span ?? -1);
    const to = byNumber.get(each.to_span ?? -1);
    if (!from || !to || from === to) continue;
    const isDown = to.index > from.index;
    const x = Math.round(Math.max(from.left + 1, Math.min(from.right - 1, to.left - 7)));
    const start = from.y + ((isDown ? 1 : -1) * from.height) / 2;
    const tip = to.left - 1;
    found.push({
      key: `${from.row.span.number} ${to.row.span.number}`,
      path: `M${x} ${start}V${to.y}H${tip}`,
      head: `M${tip - 4} ${to.y - 3.5}L${tip} ${to.y}L${tip - 4} ${to.y + 3.5}`,
      x,
      top: Math.min(start, to.y),
      bottom: Math.max(start, to.y),
      end: to,
      words: each.reason,
    });
  }
  return found;
}

export interface Label {
  x: number;
  anchor: "start" | "end";
  text: string;
}

const CHARACTER = 6.5;
const GAP = 8;

export interface Edges {
  left: number;
  right: number;
}

/**
 * Where the words of a bar stand: to its right, past arrows; to its left where there is no room; never under an arrow.
 * Of `texts` the first that has room; one that stands alone is cut where it has none.
 */
export function labelOf(bar: Bar, texts: readonly string[], arrows: readonly Over[], edges: Edges): Label | null {
  const crossing = arrows
    .filter((arrow) => arrow.top - 9 <= bar.y && arrow.bottom + 9 >= bar.y)
    .map((arrow) => arrow.x);
  // An arrow comes in at the left.
  const end = bar.left - (arrows.some((arrow) => arrow.end === bar && arrow.x < bar.left) ? 14 : GAP);
  let cut: Label | null = null;
  for (const text of texts.filter(Boolean)) {
    const wanted = text.length * CHARACTER;
    const right = freeRight(bar.right + GAP, wanted, crossing);
    if (right + wanted <= edges.right) return { x: right, anchor: "start", text };
    const isClear = !crossing.some((x) => x > end - wanted - 4 && x < end + 4);
    if (end - wanted >= edges.left && isClear) return { x: end, anchor: "end", text };
    const roomRight = edges.right - right;
    const roomLeft = isClear ? end - edges.left : 0;
    const fits = Math.floor(Math.max(roomRight, roomLeft) / CHARACTER) - 1;
    const shown = `${text.slice(0, Math.max(0, fits))}…`;
    // A duration that is cut says another one.
    if (fits < 3 || texts.length > 1) cut = null;
    else if (roomRight >= roomLeft) cut = { x: right, anchor: "start", text: shown };
    else cut = { x: end, anchor: "end", text: shown };
  }
  return cut;
}

function freeRight(from: number, wanted: number, crossing: readonly number[]): number {
  let x = from;
  for (const each of [...crossing].sort((one, other) => one - other)) {
    if (each > x - 5 && each < x + wanted + 3) x = each + 7;
  }
  return x;
}
