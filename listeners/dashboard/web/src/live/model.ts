// What Live shows: which rows, how many are new while it is paused, and when it is drawn.

import { batch, computed, effect, signal, untracked } from "@preact/signals";
import { api } from "../base/api.ts";
import { hubNow } from "../base/clock.ts";
import { type Filter, filterOf, queryOf, testOf, wholeTest } from "../base/filter.ts";
import { instant } from "../base/format.ts";
import { param, place } from "../base/router.ts";
import type { Row } from "../base/wire.ts";
import { say } from "../frame/say.tsx";
import { type Entry, isGap, lastSeqOf, Ring, seqOf } from "../stream/rows.ts";
import { health, onRows, rows, tenant } from "../stream/state.ts";
import { Bins } from "./bins.ts";

/** At most two paints of the list a second, and one of the figures. */
const LIST_MS = 500;
const FIGURES_MS = 1000;
/** What a page gets when it opens is drawn sooner: it comes at once, and ends. */
const FIRST_MS = 150;
const RECENT_MS = 5000;
/** Rows a second from which on the list is busy, and below which it no longer is. */
const BUSY = 30;
const CALM = 20;
const RANGE_ROWS = 1000;

/** Grows when the list is to be drawn; another one when the figures are. */
export const listVersion = signal(0);
export const figuresVersion = signal(0);
/** Rows a second that match; 0 unless the list is busy. */
export const busyRate = signal(0);
/** The last event above the pause; null: not paused. */
export const pausedAt = signal<number | null>(null);
/** The row that keys move from. */
export const cursor = signal<number | null>(null);

export const back = computed(() => {
  const wanted = Number(param("back"));
  return [300, 900, 3600, 21_600, 86_400].includes(wanted) ? wanted : 300;
});
/** The stretch of time that was selected, in milliseconds since 1970. */
export const range = computed(() => {
  const since = instant(param("since"));
  const until = instant(param("until"));
  return Number.isNaN(since) || Number.isNaN(until) ? null : { since, until };
});
/** What the tenant of the frame rules out does not reach the page at all. */
export const filter = computed<Filter>(() => filterOf(place.value.params));
const filterKey = computed(() => JSON.stringify([filter.value, back.value]));

export let bins = new Bins(300);

/** The rows of the selected stretch, as the server has them; null: still asked for. */
export const rangeRows = signal<{ list: Ring<Entry>; isCut: boolean; trouble: string } | null>(null);

/** What the list shows, the newest last. */
export function shown(): Ring<Entry> {
  return range.value ? (rangeRows.value?.list ?? new Ring()) : rows.shown;
}

/** How many of what is shown are drawn: what came after the pause is not. */
export function drawnCount(): number {
  const all = shown();
  const at = pausedAt.value;
  return range.value || at === null ? all.length : all.length - rows.countAfter(at);
}

export function newCount(): number {
  const at = pausedAt.value;
  return at === null || range.value ? 0 : rows.countAfter(at);
}

/** The entry at a place of the list, 0 being the newest that is drawn. */
export function entryAt(index: number, count = drawnCount()): Entry | undefined {
  return shown().at(count - 1 - index);
}

/** Where an event is in the list; -1 if it is not drawn. */
export function indexOf(seq: number, count = drawnCount()): number {
  const all = shown();
  const found = all.search((entry) => lastSeqOf(entry) >= seq);
  const entry = all.at(found);
  return entry && seqOf(entry) === seq && found < count ? count - 1 - found : -1;
}

export function pause(): void {
  if (pausedAt.peek() !== null || range.peek()) return;
  pausedAt.value = rows.lastSeq;
}

export function resume(): void {
  pausedAt.value = null;
  listVersion.value += 1;
}

// --- when it is drawn

let listTimer: ReturnType<typeof setTimeout> | undefined;
let figuresTimer: ReturnType<typeof setTimeout> | undefined;
let listAt = Number.NEGATIVE_INFINITY;
let figuresAt = Number.NEGATIVE_INFINITY;
/** Rows that match, by the second in which they came. */
const matched = new Map<number, number>();
let saidNew = 0;

function drawSoon(isPast: boolean): void {
  // A page that is not seen is drawn when it is seen again.
  if (document.hidden) return;
  if (isPast) {
    clearTimeout(listTimer);
    clearTimeout(figuresTimer);
    listTimer = setTimeout(drawList, FIRST_MS);
    figuresTimer = setTimeout(drawFigures, FIRST_MS);
    return;
  }
  listTimer ??= setTimeout(drawList, Math.max(0, listAt + LIST_MS - performance.now()));
  figuresTimer ??= setTimeout(drawFigures, Math.max(0, figuresAt + FIGURES_MS - performance.now()));
}

function drawList(): void {
  listTimer = undefined;
  listAt = performance.now();
  batch(() => {
    listVersion.value += 1;
    const count = newCount();
    if (count > saidNew) say(`${count} new`, "new");
    saidNew = count;
  });
}

function drawFigures(): void {
  figuresTimer = undefined;
  figuresAt = performance.now();
  const second = Math.floor(hubNow() / 1000);
  for (const old of matched.keys()) if (old < second - 5) matched.delete(old);
  // The last whole second, or the one before: rows may be on their way.
  const rate = Math.max(matched.get(second - 1) ?? 0, matched.get(second - 2) ?? 0);
  batch(() => {
    figuresVersion.value += 1;
    busyRate.value = rate > (busyRate.peek() ? CALM : BUSY) ? Math.round(rate) : 0;
  });
  // The rate falls to nothing also when nothing comes.
  if (busyRate.peek()) figuresTimer = setTimeout(drawFigures, FIGURES_MS);
}

// --- what is counted and shown

let test: ((row: Row) => boolean) | null = null;
let whole: ((row: Row) => boolean) | null = null;

function count(fresh: readonly Row[]): void {
  const recent = hubNow() - RECENT_MS;
  for (const row of fresh) {
    if (test === null || test(row)) bins.add(row);
    if (whole !== null && !whole(row)) continue;
    const at = instant(row.at);
    if (at < recent) continue;
    const second = Math.floor(at / 1000);
    matched.set(second, (matched.get(second) ?? 0) + 1);
  }
}

/** Go through all rows again: the filter is another one. */
function begin(): void {
  test = testOf(filter.peek());
  whole = wholeTest(filter.peek());
  rows.filter(whole);
  bins = new Bins(back.peek());
  matched.clear();
  let first: number | null = null;
  for (let index = 0; index < rows.all.length; index += 1) {
    const entry = rows.all.at(index);
    if (!entry || isGap(entry)) continue;
    first ??= instant(entry.at);
    if (test === null || test(entry)) bins.add(entry);
  }
  bins.coverFrom(first ?? hubNow());
  void askBefore(bins);
  listVersion.value += 1;
  figuresVersion.value += 1;
}

async function askBefore(asked: Bins): Promise<void> {
  try {
    const query = { ...queryOf(filter.peek()), ...asked.asked(hubNow()) };
    asked.learn(await api.histogram(query));
    if (asked === bins) figuresVersion.value += 1;
  } catch {
    // The bars of what was before the page came stay empty.
  }
}

async function askRange(since: number, until: number, signalled: AbortSignal): Promise<void> {
  rangeRows.value = null;
  const query = {
    ...queryOf(filter.peek()),
    since: new Date(since).toISOString(),
    until: new Date(until).toISOString(),
  };
  try {
    const page = await api.events({ ...query, newest_first: true, limit: RANGE_ROWS }, signalled);
    const list = new Ring<Entry>();
    const passes = wholeTest({ fields: {}, text: "", shown: filter.peek().shown });
    for (const row of page.rows.reverse()) if (passes === null || passes(row)) list.push(row);
    rangeRows.value = { list, isCut: page.cursor !== null && page.cursor !== undefined, trouble: "" };
  } catch (error) {
    if (!signalled.aborted)
      rangeRows.value = { list: new Ring(), isCut: false, trouble: String((error as Error).message) };
  }
  listVersion.value += 1;
}

/** Heed rows, filters and selected times for as long as the page is there. */
export function startLive(): void {
  let covered = false;
  onRows({
    rows: (fresh) => {
      if (!covered && fresh[0]) {
        covered = true;
        bins.coverFrom(instant(fresh[0].at));
      }
      count(fresh);
      drawSoon(fresh[0] !== undefined && instant(fresh[0].at) < hubNow() - RECENT_MS);
    },
    cleared: () => {
      covered = false;
      pausedAt.value = null;
      cursor.value = null;
      begin();
    },
  });
  effect(() => {
    void filterKey.value;
    void tenant.value;
    untracked(begin);
  });
  effect(() => {
    const selected = range.value;
    void filterKey.value;
    if (!selected) return;
    const abort = new AbortController();
    untracked(() => void askRange(selected.since, selected.until, abort.signal));
    return () => abort.abort();
  });
  let wasLost = false;
  effect(() => {
    if (health.value === "live" && wasLost) untracked(() => void askBefore(bins));
    wasLost = health.value === "stale" || health.value === "reconnecting";
  });
  document.addEventListener("visibilitychange", () => drawSoon(true));
  setInterval(() => {
    if (!document.hidden) figuresTimer ??= setTimeout(drawFigures, 0);
  }, FIGURES_MS);
}
