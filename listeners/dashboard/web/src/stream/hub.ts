// One connection a tenant, shared by those who listen; who comes later gets what the others have seen.

import { Connection, type Told } from "./connection.ts";

/** Who comes later gets so many of the newest rows at most. */
const KEPT_ROWS = 20_000;
export const FIRST_ROWS = 2000;

/** What a tab has already: after a sleep it goes on there. */
export interface Had {
  cursor: string;
  seq: number;
}

export const NOTHING_HAD: Had = { cursor: "", seq: -1 };

export interface Line {
  tell: (told: Told) => void;
}

interface Frame {
  told: Told & { data: string };
  rows: number;
}

/** A connection, and who listens to it. */
export class Shared {
  readonly #lines = new Set<Line>();
  readonly #connection: Connection;
  #frames: Frame[] = [];
  #rows = 0;
  #last = new Map<string, Told>();
  /** The last event before the frames that are kept; -1: there was none, or it is not known. */
  #before = -1;

  constructor(base: string, tenant: string, cursor: string) {
    const tell = (told: Told) => this.#hear(told);
    this.#connection = new Connection({ base, tenant, cursor, last: FIRST_ROWS, tell });
  }

  get isIdle(): boolean {
    return this.#lines.size === 0;
  }

  /** Tell a line all that is kept, and all that comes. What came while it slept and is kept no longer is a gap. */
  join(line: Line, had: Had): void {
    this.#lines.add(line);
    if (had.seq >= 0 && this.#before > had.seq) {
      const text = "this tab was asleep, and went on.";
      const gap = { first_seq: had.seq + 1, last_seq: this.#before, code: "behind", text };
      line.tell({ type: "gap", data: JSON.stringify(gap), cursor: had.cursor });
    }
    for (const { told } of this.#frames) line.tell(told);
    for (const told of this.#last.values()) line.tell(told);
  }

  leave(line: Line): void {
    this.#lines.delete(line);
  }

  again(): void {
    this.#connection.open();
  }

  close(): void {
    this.#connection.close();
  }

  #hear(told: Told): void {
    this.#keep(told);
    for (const line of this.#lines) line.tell(told);
  }

  #keep(told: Told): void {
    if (told.type === "open" || told.type === "lost") {
      this.#last.set("state", told);
    } else if (told.type === "tick") {
      this.#last.set("tick", told);
    } else if (told.type === "stale") {
      this.#frames = [];
      this.#rows = 0;
      this.#before = -1;
    } else {
      if (this.#frames.length === 0 && this.#before < 0) this.#before = firstSeq(told.data) - 1;
      const rows = told.type === "rows" ? told.data.split('"seq":').length - 1 : 1;
      this.#frames.push({ told, rows });
      this.#rows += rows;
      if (this.#rows > KEPT_ROWS * 1.25) this.#forget();
    }
  }

  #forget(): void {
    let from = 0;
    while (this.#rows > KEPT_ROWS && from < this.#frames.length - 1) {
      this.#rows -= this.#frames[from]?.rows ?? 0;
      from += 1;
    }
    this.#frames = this.#frames.slice(from);
    this.#before = firstSeq(this.#frames[0]?.told.data ?? "") - 1;
  }
}

/** The first event of a frame: of rows or of a gap. */
function firstSeq(data: string): number {
  const found = /"(?:seq|first_seq)":\s*(\d+)/.exec(data.slice(0, 200));
  return found ? Number(found[1]) : 0;
}

/** The connections of a page, or of all its tabs. */
export class Exchange {
  readonly #base: string;
  readonly #shared = new Map<string, Shared>();

  constructor(base: string) {
    this.#base = base;
  }

  join(tenant: string, line: Line, had: Had): Shared {
    let shared = this.#shared.get(tenant);
    if (!shared) {
      shared = new Shared(this.#base, tenant, had.cursor);
      this.#shared.set(tenant, shared);
    }
    shared.join(line, had);
    return shared;
  }

  /** Take a line away; a connection that nobody listens to is closed. */
  leave(tenant: string, line: Line): void {
    const shared = this.#shared.get(tenant);
    shared?.leave(line);
    if (shared?.isIdle) {
      shared.close();
      this.#shared.delete(tenant);
    }
  }
}
