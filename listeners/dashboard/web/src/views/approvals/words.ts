// What an approval is in words: pure, of views of the board.

import type { ApprovalView } from "../../base/boards.ts";
import { coarse, instant, visible } from "../../base/format.ts";

export const isWaiting = (one: ApprovalView): boolean => one.state === "waiting";

/** When it expires, in milliseconds of the hub's clock; `at` is when the board was read. */
export function deadlineOf(one: ApprovalView, at: number): number | null {
  return one.seconds_left === null || one.seconds_left === undefined ? null : at + one.seconds_left * 1000;
}

/** For how long it may wait in all, in milliseconds. */
export function allowedOf(one: ApprovalView): number {
  return ((one.seconds_left ?? 0) + (one.waited_seconds ?? 0)) * 1000;
}

/** `7 min 05 s`: two figures for the smaller unit, so that a column does not shift as it counts. */
export function countdown(ms: number): string {
  return coarse(ms).replace(/ (\d) (s|min|h)$/, " 0$1 $2");
}

const LEVELS = ["low", "medium", "high", "critical"];

/** 1 to 4; 0 for a level that is none of ours. */
export function stepsOf(level: string): number {
  return LEVELS.indexOf(level) + 1;
}

export const isHigh = (level: string): boolean => stepsOf(level) >= 3;

/** `reservation_id=XEHM4B, cabin=business`, of JSON that may be cut off anywhere. */
export function argumentWords(json: string): string {
  const inner = /^\{(.*?)\}?$/s.exec(json.trim());
  if (!inner) return visible(json);
  const parts = (inner[1] ?? "").split(/("(?:[^"\\]|\\.)*")/);
  const told = parts.map((part, index) => {
    if (index % 2 === 0) return part.replace(/^:\s*/, "=").replace(/,\s*/g, ", ").replace(/"/, "");
    return unquoted(part);
  });
  return visible(told.join(""));
}

function unquoted(text: string): string {
  try {
    return String(JSON.parse(text));
  } catch {
    return text;
  }
}

/** What becomes of it if nobody answers. */
export function afterThat(one: ApprovalView): string {
  if (one.fail_mode === "allow") return "After that it is allowed.";
  if (one.fail_mode === "escalate") return "After that it is escalated.";
  return "After that it is denied.";
}

/** What else the agent does meanwhile; empty if it waits. */
export function modeWords(one: ApprovalView): string {
  if (one.mode === "shadow") return "In shadow: the agent does not wait, and the verdict is only recorded.";
  if (one.mode === "audit_only") return "Audit only: the agent does not wait, and nobody has to answer.";
  return "";
}

const VERDICTS: Record<string, { sign: string; tone: string }> = {
  approved: { sign: "ok", tone: "text-2" },
  denied: { sign: "denied", tone: "attention" },
  expired: { sign: "expired", tone: "attention" },
  escalated: { sign: "up", tone: "text-2" },
  withdrawn: { sign: "gone", tone: "quiet" },
  returned: { sign: "again", tone: "quiet" },
};

export function verdictOf(state: string): { sign: string; tone: string } {
  return VERDICTS[state] ?? { sign: "own", tone: "quiet" };
}

/** Who has decided; `nobody` if none did in time. */
export function deciders(by: readonly string[]): string {
  return by.length ? visible(by.join(", ")) : "nobody";
}

export interface Tally {
  today: number;
  words: string;
  /** Of what people decided, in milliseconds; null if they did not. */
  median: number | null;
}

/** What was decided since midnight where the reader is. */
export function tally(decided: readonly ApprovalView[], midnight: number): Tally {
  const counts = new Map<string, number>();
  const waited: number[] = [];
  for (const one of decided) {
    if (!(instant(one.decided_at) >= midnight)) continue;
    counts.set(one.state, (counts.get(one.state) ?? 0) + 1);
    if (one.decided_by.length && !one.is_failure && typeof one.waited_seconds === "number")
      waited.push(one.waited_seconds * 1000);
  }
  const order = Object.keys(VERDICTS);
  const found = [...counts].sort(([left], [right]) => order.indexOf(left) - order.indexOf(right));
  waited.sort((left, right) => left - right);
  return {
    today: found.reduce((sum, [, count]) => sum + count, 0),
    words: found.map(([state, count]) => `${count} ${state}`).join(", "),
    median: waited[Math.floor(waited.length / 2)] ?? null,
  };
}

export function midnightOf(now: number): number {
  return new Date(now).setHours(0, 0, 0, 0);
}
