// The query of Log: from the address, as chips, as what the server is asked.

import type { Query } from "../../base/api.ts";
import { clock, instant } from "../../base/format.ts";
import type { Params } from "../../base/router.ts";

/** Fields of which several values may be asked for: any of them. */
export const FIELDS = [
  ...["kind", "agent", "channel", "task", "turn", "session", "correlation", "actor", "source", "topic"],
  ...["outcome", "severity", "tool", "error"],
] as const;
/** Fields of one value. */
export const SINGLE = ["tenant", "text", "since", "until"] as const;
export const NAMES: readonly string[] = [...FIELDS, ...SINGLE];

export interface Part {
  field: string;
  value: string;
}

/** A part for each value, in the order of the fields. */
export function partsOf(params: Params): Part[] {
  const parts: Part[] = [];
  for (const field of FIELDS) for (const value of params[field] ?? []) parts.push({ field, value });
  for (const field of SINGLE) {
    const value = params[field]?.[0];
    if (value) parts.push({ field, value });
  }
  return parts;
}

/** Rows say of an outcome in the words of people; records have others. */
const OUTCOMES: Record<string, string> = { ok: "success", failed: "failure" };

/** What the server is asked for. */
export function queryOf(params: Params): Query {
  const query: Query = {};
  for (const { field, value: given } of partsOf(params)) {
    const value = field === "outcome" ? (OUTCOMES[given] ?? given) : given;
    const before = query[field];
    if ((SINGLE as readonly string[]).includes(field)) query[field] = value;
    else query[field] = Array.isArray(before) ? [...before, value] : [value];
  }
  return query;
}

/** What is typed as `kind:tool.*`, `kind=tool.*` or `kind tool.*`; null if it names no field. */
export function typedPart(text: string): Part | null {
  const found = /^(\w+)\s*[:=\s]\s*(\S.*)$/s.exec(text.trim());
  const field = found?.[1]?.toLowerCase() ?? "";
  return found && NAMES.includes(field) ? { field, value: found[2]?.trim() ?? "" } : null;
}

/** The parameters with a part more. */
export function withPart(params: Params, { field, value }: Part): Record<string, string | string[]> {
  if ((SINGLE as readonly string[]).includes(field)) return { [field]: value };
  const before = params[field] ?? [];
  return { [field]: before.includes(value) ? [...before] : [...before, value] };
}

/** The parameters without a part. */
export function withoutPart(params: Params, { field, value }: Part): Record<string, string[]> {
  return { [field]: (params[field] ?? []).filter((each) => each !== value) };
}

/** The parameters without any part. */
export function withoutParts(): Record<string, null> {
  return Object.fromEntries(NAMES.map((name) => [name, null]));
}

/** How a value is shown on its chip: instants as the time of the day, if they are of this one. */
export function valueWords({ field, value }: Part, today: number): string {
  if (field !== "since" && field !== "until") return value;
  if (!/^\d{4}-\d\d-\d\dT/.test(value)) return value;
  const at = instant(value);
  if (Number.isNaN(at)) return value;
  const isToday = new Date(at).toDateString() === new Date(today).toDateString();
  const time = clock(at, at % 1000 !== 0).replace(/:00$/, "");
  return isToday ? time : `${value.slice(0, 10)} ${time}`;
}
