// Which rows a waterfall has, in which order, and which are folded away.

import type { SpanView } from "../../base/boards.ts";

export type By = "cause" | "agent" | "time";

export interface Row {
  span: SpanView;
  level: number;
  /** How many it holds; 0: there is nothing to fold. */
  inside: number;
  isFolded: boolean;
}

function byStart(one: SpanView, other: SpanView): number {
  return one.started_at < other.started_at ? -1 : one.started_at > other.started_at ? 1 : one.number - other.number;
}

/** The rows of a run: as a tree by cause, the turns of each agent together, or flat by when they began. */
export function rowsOf(spans: readonly SpanView[], by: By, folded: ReadonlySet<string>): Row[] {
  if (by === "time") return [...spans].sort(byStart).map((span) => ({ span, level: 0, inside: 0, isFolded: false }));
  const inside = new Map<number, number>();
  for (const span of spans) {
    if (span.parent !== null && span.parent !== undefined) inside.set(span.parent, (inside.get(span.parent) ?? 0) + 1);
  }
  const rows: Row[] = [];
  let hiddenBelow = Number.POSITIVE_INFINITY;
  for (const span of by === "agent" ? agentsTogether(spans) : spans) {
    if (span.level > hiddenBelow) continue;
    const isFolded = folded.has(`${span.number}`);
    hiddenBelow = isFolded ? span.level : Number.POSITIVE_INFINITY;
    rows.push({ span, level: span.level, inside: inside.get(span.number) ?? 0, isFolded });
  }
  return rows;
}

/** Trees stay whole; those of an agent stand together, the agent that began first at the top. */
function agentsTogether(spans: readonly SpanView[]): SpanView[] {
  const groups = new Map<string, SpanView[]>();
  let group: SpanView[] = [];
  for (const span of spans) {
    if (span.level === 0) {
      group = groups.get(span.agent) ?? [];
      groups.set(span.agent, group);
    }
    group.push(span);
  }
  return [...groups.values()].flat();
}
