// What ids are called, as far as rows and facets have told: filters hold ids, and people read names.

import { signal } from "@preact/signals";
import type { Row } from "../../base/wire.ts";

const names = signal<ReadonlyMap<string, string>>(new Map());
const KEPT = 5000;

function learn(found: Iterable<readonly [string | undefined, string | undefined]>): void {
  const known = names.peek();
  const next = new Map(known);
  for (const [id, name] of found) if (id && name && id !== name) next.set(id, name);
  if (next.size !== known.size && next.size <= KEPT) names.value = next;
}

export function learnRows(rows: readonly Row[]): void {
  learn(rows.flatMap((row) => [[row.agent_id, row.agent] as const, [row.channel_id, row.channel] as const]));
}

export function learnFacet(values: readonly (readonly [string, number, string?])[]): void {
  learn(values.map(([id, , name]) => [id, name]));
}

export function nameOf(id: string): string {
  return names.value.get(id) ?? id;
}
