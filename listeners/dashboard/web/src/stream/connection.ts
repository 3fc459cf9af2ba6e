// One connection to the stream: it comes back by itself, from where it was.
//
// The browser's own way to come back says neither when nor that it failed for good, so this closes what failed and
// opens the next one with `since`.

import { address } from "../base/api.ts";

/** What a connection tells. Data is the text of the server: whoever reads it parses it, once. */
export type Told =
  | { type: "rows" | "gap" | "tick" | "stale"; data: string; cursor: string }
  | { type: "open" }
  | { type: "lost"; againAt: number; refused: boolean };

/** Milliseconds until the next try, by how many have failed. */
const WAITS = [500, 1000, 2000, 4000, 8000, 15_000];
/** A tick comes at least every 15 seconds: a connection that is silent for longer than this is dead. */
const SILENT_MS = 45_000;
const EVENTS = ["rows", "gap", "tick", "stale"] as const;

export interface ConnectionOptions {
  base: string;
  tenant: string;
  /** Where it begins; empty: with the newest `last`. */
  cursor: string;
  last: number;
  tell: (told: Told) => void;
}

export class Connection {
  readonly #options: ConnectionOptions;
  #source: EventSource | null = null;
  #cursor = "";
  #tries = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;
  #heardAt = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#cursor = options.cursor;
    this.#watch = setInterval(() => {
      if (this.#source && Date.now() - this.#heardAt > SILENT_MS) this.#lost(false);
    }, 5000);
    this.open();
  }

  /** Connect now, whatever the next try was to be. */
  open(): void {
    clearTimeout(this.#timer);
    this.#source?.close();
    const { base, tenant, last } = this.#options;
    const query = { boards: true, tenant, ...(this.#cursor ? { since: this.#cursor } : { last }) };
    const source = new EventSource(new URL(address("api/stream", query), base), { withCredentials: false });
    this.#source = source;
    this.#heardAt = Date.now();
    source.onopen = () => {
      this.#heardAt = Date.now();
      this.#options.tell({ type: "open" });
    };
    source.onerror = () => {
      if (source === this.#source) this.#lost(source.readyState === EventSource.CLOSED);
    };
    for (const type of EVENTS) {
      source.addEventListener(type, (event) => {
        if (source === this.#source) this.#heard(type, event as MessageEvent<string>);
      });
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    this.#source?.close();
    this.#source = null;
  }

  #heard(type: (typeof EVENTS)[number], event: MessageEvent<string>): void {
    this.#heardAt = Date.now();
    this.#tries = 0;
    if (event.lastEventId) this.#cursor = event.lastEventId;
    if (type === "stale" && /"code":\s*"(cursor|other_hub)"/.test(event.data)) this.#cursor = event.lastEventId;
    this.#options.tell({ type, data: event.data, cursor: this.#cursor });
  }

  #lost(refused: boolean): void {
    this.#source?.close();
    this.#source = null;
    const wait = WAITS[Math.min(this.#tries, WAITS.length - 1)] ?? 15_000;
    const after = wait * (0.8 + 0.4 * Math.random());
    this.#tries += 1;
    this.#timer = setTimeout(() => this.open(), after);
    this.#options.tell({ type: "lost", againAt: Date.now() + after, refused });
  }
}
