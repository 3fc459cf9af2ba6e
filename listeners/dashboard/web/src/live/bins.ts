// Counts over time, in 150 bins that lie on whole multiples of their width: what the page has seen, and before that
// what the server says.

import type { Histogram, Row } from "../base/wire.ts";

export const BINS = 150;
export type Bin = [wrong: number, attention: number, other: number];

export class Bins {
  /** Of a bin, in milliseconds. */
  readonly width: number;
  #seen = new Map<number, Bin>();
  #before = new Map<number, Bin>();
  /** From the first whole bin on, what the page has seen is all there is. */
  #from = Number.POSITIVE_INFINITY;
  #newest = Number.NEGATIVE_INFINITY;

  constructor(back: number) {
    this.width = (back * 1000) / BINS;
  }

  /** The page has all rows from here on, whether or not they match. */
  coverFrom(ms: number): void {
    this.#from = Math.ceil(ms / this.width);
  }

  add(row: Row): void {
    const index = Math.floor(Date.parse(row.at) / this.width);
    if (Number.isNaN(index)) return;
    let bin = this.#seen.get(index);
    if (!bin) {
      bin = [0, 0, 0];
      this.#seen.set(index, bin);
      if (index > this.#newest) this.#forget(index);
    }
    bin[row.meaning === "wrong" ? 0 : row.meaning === "attention" ? 1 : 2] += 1;
  }

  #forget(newest: number): void {
    this.#newest = newest;
    if (this.#seen.size > BINS * 2) {
      for (const index of this.#seen.keys()) if (index < newest - BINS - 1) this.#seen.delete(index);
    }
  }

  /** What the server says about the time before. Its bins are those that `asked` has named. */
  learn(told: Histogram): void {
    this.#before.clear();
    const first = Math.round((told.start * 1000) / this.width);
    told.bins.forEach((bin, index) => {
      this.#before.set(first + index, bin);
    });
  }

  /** What to ask the server for, at a time. */
  asked(now: number): { since: string; until: string; bins: number } {
    const last = Math.floor(now / this.width);
    const at = (index: number) => new Date(index * this.width).toISOString();
    return { since: at(last - BINS + 1), until: at(last + 1), bins: BINS };
  }

  /** The bins up to a time, the oldest first, and when the first begins. */
  window(now: number): { start: number; bins: Bin[] } {
    const last = Math.floor(now / this.width);
    const bins: Bin[] = [];
    for (let index = last - BINS + 1; index <= last; index += 1) {
      const from = index >= this.#from ? this.#seen : this.#before;
      bins.push(from.get(index) ?? this.#seen.get(index) ?? [0, 0, 0]);
    }
    return { start: (last - BINS + 1) * this.width, bins };
  }
}

export function sums(bins: readonly Bin[]): Bin {
  const all: Bin = [0, 0, 0];
  for (const bin of bins) for (const part of [0, 1, 2] as const) all[part] += bin[part];
  return all;
}
