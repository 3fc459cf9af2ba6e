// What was decided just now stays where it was for five seconds, marked, before it moves down.

import { useEffect, useRef, useState } from "preact/hooks";
import type { ApprovalView } from "../../base/boards.ts";
import { isWaiting } from "./words.ts";

export const LINGER_MS = 5000;

export interface Sorted {
  /** Those that wait and those that stay for a moment, the oldest first. */
  waiting: ApprovalView[];
  decided: ApprovalView[];
}

/** Part approvals into those that wait and those that are decided; `rows` is the same list until it is read anew. */
export function useSorted(rows: readonly ApprovalView[]): Sorted {
  const waitedBefore = useRef(new Set<string>());
  const staying = useRef(new Map<string, number>());
  const seen = useRef<readonly ApprovalView[] | null>(null);
  const [, redraw] = useState(0);
  const now = performance.now();
  if (seen.current !== rows) {
    seen.current = rows;
    for (const one of rows) {
      if (!isWaiting(one) && waitedBefore.current.has(one.approval_id)) staying.current.set(one.approval_id, now);
    }
    waitedBefore.current = new Set(rows.filter(isWaiting).map((one) => one.approval_id));
  }
  for (const [id, since] of staying.current) if (now - since >= LINGER_MS) staying.current.delete(id);
  const next = Math.min(...staying.current.values()) + LINGER_MS;
  useEffect(() => {
    if (!Number.isFinite(next)) return;
    const timer = setTimeout(() => redraw((old) => old + 1), Math.max(0, next - performance.now()) + 20);
    return () => clearTimeout(timer);
  }, [next]);
  const stays = (one: ApprovalView) => isWaiting(one) || staying.current.has(one.approval_id);
  const waiting = rows.filter(stays);
  waiting.sort(
    (left, right) => compare(left.requested_at, right.requested_at) || left.requested_seq - right.requested_seq,
  );
  return { waiting, decided: rows.filter((one) => !stays(one)) };
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
