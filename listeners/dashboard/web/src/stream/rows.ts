// The rows that the page keeps: the newest 100,000, in their order, with the gaps between them.

import type { Gap, Row } from "../base/wire.ts";

export type GapRow = Gap & { gap: true };
export type Entry = Row | GapRow;

export const KEPT = 100_000;

export function isGap(entry: Entry): entry is GapRow {
  return "gap" in entry;
}

/** The seq that an entry begins with. */
export function seqOf(entry: Entry): number {
  return isGap(entry) ? entry.first_seq : entry.seq;
}

/** The seq that an entry ends with. */
export function lastSeqOf(entry: Entry): number {
  return isGap(entry) ? entry.last_seq : entry.seq;
}

/** A list that grows at its end and is cut at its beginning, both in constant time on average. */
export class Ring<T> {
  #items: T[] = [];
  #from = 0;
  #dropped = 0;

  /** How many were taken away at the beginning, in all. */
  get dropped(): number {
    return this.#dropped;
  }

  get length(): number {
    return this.#items.length - this.#from;
  }

  at(index: number): T | undefined {
    return index < 0 ? undefined : this.#items[this.#from + index];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Take the first ones away. */
  drop(count: number): void {
    const fewer = Math.min(count, this.length);
    this.#from += fewer;
    this.#dropped += fewer;
    if (this.#from > 8192 && this.#from * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#from);
      this.#from = 0;
    }
  }

  clear(): void {
    this.#items = [];
    this.#from = 0;
  }

  /** The index of the first one for which `after` holds, in a list in which it holds from there on. */
  search(after: (item: T) => boolean): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (after(this.#items[this.#from + middle] as T)) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** Counts that are older than this beside the rows do not tell how much happens now. */
const BEHIND_MS = 3000;

/** Whether what counts events, as of `countedAt`, is behind rows that are here already: a rate of it is no rate of now. */
export function isBehind(countedAt: string | null | undefined, newestAt: string): boolean {
  return Date.parse(newestAt) - Date.parse(countedAt ?? "") > BEHIND_MS;
}

export type Test = (row: Row) => boolean;

/** What came in: rows that match the filter, and those that do not. */
export interface Taken {
  matched: Row[];
  hidden: number;
}

/** All rows, and those that the filter lets through. Nothing in it is a signal: `Live` says when it is drawn. */
export class RowStore {
  readonly all = new Ring<Entry>();
  /** What the filter lets through, gaps included; the same list as `all` if there is no filter. */
  shown: Ring<Entry> = this.all;
  #test: Test | null = null;
  #lastSeq = -1;
  readonly #kept: number;

  constructor(kept = KEPT) {
    this.#kept = kept;
  }

  /** The seq of the newest row or gap, -1 before the first. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** When the newest row happened; empty if there is none, or a gap came after it. */
  get newestAt(): string {
    const newest = this.all.at(this.all.length - 1);
    return newest && !isGap(newest) ? newest.at : "";
  }

  /** Rows in their order. What is here already comes again after a reconnect, and is left out. */
  add(rows: readonly Row[]): Row[] {
    const fresh: Row[] = [];
    for (const row of rows) {
      if (row.seq <= this.#lastSeq) continue;
      this.#lastSeq = row.seq;
      fresh.push(row);
      this.all.push(row);
      if (this.#test?.(row)) this.shown.push(row);
    }
    this.#cut();
    return fresh;
  }

  addGap(gap: Gap): void {
    if (gap.last_seq <= this.#lastSeq) return;
    const entry: GapRow = { ...gap, first_seq: Math.max(gap.first_seq, this.#lastSeq + 1), gap: true };
    this.#lastSeq = gap.last_seq;
    this.all.push(entry);
    if (this.#test) this.shown.push(entry);
    this.#cut();
  }

  /** Show what passes `test`; null: all. */
  filter(test: Test | null): void {
    this.#test = test;
    if (test === null) {
      this.shown = this.all;
      return;
    }
    const shown = new Ring<Entry>();
    for (let index = 0; index < this.all.length; index += 1) {
      const entry = this.all.at(index) as Entry;
      if (isGap(entry) || test(entry)) shown.push(entry);
    }
    this.shown = shown;
  }

  clear(): void {
    this.all.clear();
    this.shown = this.#test ? new Ring() : this.all;
    this.#lastSeq = -1;
  }

  /** Where in `shown` an event is; -1 if it is not there. */
  find(seq: number): number {
    const index = this.shown.search((entry) => lastSeqOf(entry) >= seq);
    const entry = this.shown.at(index);
    return entry && seqOf(entry) === seq ? index : -1;
  }

  /** How many of `shown` came after a seq. */
  countAfter(seq: number): number {
    return this.shown.length - this.shown.search((entry) => seqOf(entry) > seq);
  }

  #cut(): void {
    const over = this.all.length - this.#kept;
    if (over <= 0) return;
    this.all.drop(over);
    const first = this.all.at(0);
    if (this.shown !== this.all && first) {
      this.shown.drop(this.shown.search((entry) => seqOf(entry) >= seqOf(first)));
    }
  }
}
