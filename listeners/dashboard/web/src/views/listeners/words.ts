// What a listener is in words: pure, of what the server tells.

import { age, instant, visible } from "../../base/format.ts";
import type { ListenerRow } from "../../base/wire.ts";

export interface StateWords {
  sign: string;
  tone: string;
  words: string;
}

const STATES: Record<string, StateWords> = {
  running: { sign: "ok", tone: "good", words: "running" },
  attached: { sign: "ok", tone: "good", words: "running" },
  starting: { sign: "open", tone: "accent", words: "starting" },
  catching_up: { sign: "again", tone: "accent", words: "catching up" },
  suspended: { sign: "failed", tone: "wrong", words: "suspended" },
  detached: { sign: "gone", tone: "quiet", words: "detached" },
};

/** What a hub tells of the attachment is newer than what its events have told. */
export const phaseOf = (row: ListenerRow): string => row.phase || row.state;

/** Detached because it failed too often, and not by the program: that one's reason is the bare word. */
export const isGivenUp = (row: ListenerRow): boolean =>
  phaseOf(row) === "detached" && row.reason !== "" && row.reason !== "detached";

/** Whether it gets nothing, against the wish of the program. */
export const isWrong = (row: ListenerRow): boolean => isSuspended(row) || isGivenUp(row);

const GIVEN_UP: StateWords = { sign: "failed", tone: "wrong", words: "detached" };

export function stateOf(row: ListenerRow): StateWords {
  const phase = phaseOf(row);
  if (isGivenUp(row)) return GIVEN_UP;
  return STATES[phase] ?? { sign: "idle", tone: "quiet", words: visible(phase) };
}

export const isSuspended = (row: ListenerRow): boolean => phaseOf(row) === "suspended";

export function dutyWords(duty: string): string {
  return visible(duty).replaceAll("_", " ");
}

/** The troubled first: those that get nothing, then those that lost or failed at events, then all others as they came. */
export function sorted(rows: readonly ListenerRow[]): ListenerRow[] {
  const rank = (row: ListenerRow) => {
    if (isWrong(row)) return 0;
    if (phaseOf(row) === "detached") return 3;
    return row.is_troubled ? 1 : 2;
  };
  return [...rows].sort((left, right) => rank(left) - rank(right));
}

/** What a row says at its end: the last error, or what it is at. */
export function remarkOf(row: ListenerRow, now: number): string {
  if (row.last_error) {
    const ago = now - instant(row.last_error_at);
    const when = Number.isNaN(ago) || isSuspended(row) ? "" : `, ${age(ago)} ago`;
    return `${visible(row.last_error)}${when}`;
  }
  if (row.reason && row.is_troubled) return visible(row.reason);
  const since = now - instant(row.since_at);
  if (phaseOf(row) === "catching_up" && !Number.isNaN(since)) return `started ${age(since)} ago`;
  return "";
}

/** How many are in a state that the head of the view names. */
export function countOf(rows: readonly ListenerRow[], state: string): number {
  return rows.filter((row) => phaseOf(row) === state).length;
}
