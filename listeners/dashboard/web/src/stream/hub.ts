// One connection a tenant, shared by those who listen; who comes later gets what the others have seen.

import { Connection, type Told } from "./connection.ts";

/** Who comes later gets so many of the newest rows at most. */
const KEPT_ROWS = 20_000;
export const FIRST_ROWS = 2000;

export interface Line {
  tell: (told: Told) => void;
}

/** A connection, and who listens to it. */
export class Shared {
  readonly #lines = new Set<Line>();
  readonly #connection: Connection;
  #frames: { told: Told; rows: number }[] = [];
  #rows = 0;
  #last = new Map<string, Told>();

  constructor(base: string, tenant: string) {
    this.#connection = new Connection({ base, tenant, last: FIRST_ROWS, tell: (told) => this.#hear(told) });
  }

  get isIdle(): boolean {
    return this.#lines.size === 0;
  }

  join(line: Line): void {
    this.#lines.add(line);
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
    } else {
      const rows = told.type === "rows" ? told.data.split('"seq":').length - 1 : 1;
      this.#frames.push({ told, rows });
      this.#rows += rows;
      if (this.#rows > KEPT_ROWS * 1.25) this.#forget();
    }
  }

  #forget(): void {
    let from = 0;
    while (this.#rows > KEPT_ROWS) {
      this.#rows -= this.#frames[from]?.rows ?? this.#rows;
      from += 1;
    }
    this.#frames = this.#frames.slice(from);
  }
}

/** The connections of a page, or of all its tabs. */
export class Exchange {
  readonly #base: string;
  readonly #shared = new Map<string, Shared>();

  constructor(base: string) {
    this.#base = base;
  }

  join(tenant: string, line: Line): Shared {
    let shared = this.#shared.get(tenant);
    if (!shared) {
      shared = new Shared(this.#base, tenant);
      this.#shared.set(tenant, shared);
    }
    shared.join(line);
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
