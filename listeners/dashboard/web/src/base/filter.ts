// The filter of Live: from the address, as a test of a row, as a query of the server, as words.

import { number } from "./format.ts";
import type { Params } from "./router.ts";
import type { Row } from "./wire.ts";

/** Fields that have values of their own; several of one field: any of them. */
export const FIELDS = ["kind", "agent", "channel", "task", "turn", "outcome", "tenant", "correlation"] as const;
export type Field = (typeof FIELDS)[number];
export const SHOWN = ["wrong", "attention", "other"] as const;
export type Shown = (typeof SHOWN)[number];

export interface Filter {
  fields: Partial<Record<Field, readonly string[]>>;
  text: string;
  /** Of the legend; empty: all. */
  shown: readonly Shown[];
}

export function filterOf(params: Params): Filter {
  const fields: Filter["fields"] = {};
  for (const field of FIELDS) {
    const values = params[field];
    if (values?.length) fields[field] = values;
  }
  const shown = (params.show ?? []).filter((each): each is Shown => (SHOWN as readonly string[]).includes(each));
  return { fields, text: params.text?.[0] ?? "", shown };
}

/** A pattern of kinds, as `hubwire tail --kind` has it: `*` stands for whatever there is. */
export function kindPattern(pattern: string): (kind: string) => boolean {
  if (!pattern.includes("*")) return (kind) => kind === pattern;
  const parts = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  const expression = new RegExp(`^${parts.join(".*")}$`, "s");
  return (kind) => expression.test(kind);
}

type Test = (row: Row) => boolean;

const READ: Record<Exclude<Field, "kind">, (row: Row) => (string | undefined)[]> = {
  agent: (row) => [row.agent_id, row.agent],
  channel: (row) => [row.channel_id, row.channel],
  task: (row) => [row.task_id],
  turn: (row) => [row.turn_id],
  outcome: (row) => [row.outcome],
  tenant: (row) => [row.tenant],
  correlation: (row) => [row.correlation],
};

function fieldTest(field: Field, values: readonly string[]): Test {
  if (field === "kind") {
    const patterns = values.map(kindPattern);
    return (row) => patterns.some((matches) => matches(row.kind));
  }
  const wanted = new Set(values);
  const read = READ[field];
  return (row) => read(row).some((value) => value !== undefined && wanted.has(value));
}

function textTest(text: string): Test {
  const small = text.toLowerCase();
  return (row) =>
    [row.words, row.kind, row.agent, row.channel].some((part) => part?.toLowerCase().includes(small) ?? false);
}

/** The test of a filter without its legend; null: all rows pass. */
export function testOf({ fields, text }: Filter, without: Field | "text" | null = null): Test | null {
  const tests: Test[] = [];
  for (const field of FIELDS) {
    const values = fields[field];
    if (values && field !== without) tests.push(fieldTest(field, values));
  }
  if (text && without !== "text") tests.push(textTest(text));
  if (tests.length === 0) return null;
  return tests.length === 1 ? (tests[0] as Test) : (row) => tests.every((test) => test(row));
}

/** The same with the legend. */
export function wholeTest(filter: Filter, without: Field | "text" | null = null): Test | null {
  const test = testOf(filter, without);
  if (filter.shown.length === 0 || filter.shown.length === SHOWN.length) return test;
  const shown = new Set<Shown>(filter.shown);
  return (row) => shown.has(row.meaning ?? "other") && (test === null || test(row));
}

/** What the server is asked; the legend is the page's own. */
export function queryOf({ fields, text }: Filter): Record<string, string[] | string> {
  const query: Record<string, string[] | string> = {};
  for (const field of FIELDS) {
    const values = fields[field];
    if (values) query[field] = [...values];
  }
  if (text) query.text = text;
  return query;
}

export interface Part {
  field: Field | "text" | "show";
  name: string;
  value: string;
}

const SHOWN_WORDS: Record<Shown, string> = { wrong: "failed", attention: "refused or abandoned", other: "all others" };

/** What a reader sees of the filter, a chip each. `nameOf`: what an id is called. */
export function partsOf(filter: Filter, nameOf: (field: Field, value: string) => string): Part[] {
  const parts: Part[] = [];
  for (const field of FIELDS) {
    const values = filter.fields[field];
    if (!values) continue;
    const value = values.length === 1 ? nameOf(field, values[0] as string) : `any of ${number(values.length)}`;
    parts.push({ field, name: field, value });
  }
  if (filter.text) parts.push({ field: "text", name: "text", value: filter.text });
  if (filter.shown.length && filter.shown.length < SHOWN.length) {
    parts.push({ field: "show", name: "show", value: filter.shown.map((each) => SHOWN_WORDS[each]).join(", ") });
  }
  return parts;
}

/** Whether all that passes is wrong: then words stay plain, and the cross alone is red. */
export function showsWrongAlone({ fields, shown }: Filter): boolean {
  const kinds = fields.kind ?? [];
  const outcomes = fields.outcome ?? [];
  return (
    (shown.length === 1 && shown[0] === "wrong") ||
    (outcomes.length > 0 && outcomes.every((each) => each === "failed" || each === "late")) ||
    (kinds.length > 0 && kinds.every((each) => each.endsWith(".failed") || each.endsWith(".violated")))
  );
}
