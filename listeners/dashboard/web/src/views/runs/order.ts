import type { RunView } from "../../base/boards.ts";

export const ORDERS = [
  ["open", "open, then failed, then newest"],
  ["newest", "newest first"],
  ["longest", "longest first"],
  ["failures", "most failures first"],
] as const;
export type OrderName = (typeof ORDERS)[number][0];

/** Whether the title or an agent of a run has a text in it. */
export function passes(run: RunView, text: string): boolean {
  if (!text) return true;
  const small = text.toLowerCase();
  return [run.title, ...run.agents].some((each) => each.toLowerCase().includes(small));
}

/** Whether a turn of a run has failed, or, where it has none, the last call: one that was made up for leaves it well. */
export function hasFailed(run: RunView): boolean {
  if (run.turns === 0) return run.bars.at(-1)?.outcome === "failed";
  return run.bars.some((bar) => bar.outcome === "failed");
}

/** Whether a run goes on when a person has answered: mostly a turn of it is open meanwhile. */
export function isWaiting(run: RunView): boolean {
  return run.waiting > 0;
}

function rank(run: RunView): number {
  return run.open || isWaiting(run) ? 0 : hasFailed(run) ? 1 : 2;
}

export function sorted(runs: readonly RunView[], order: OrderName): RunView[] {
  const found = [...runs].sort((one, other) => (one.started_at < other.started_at ? 1 : -1));
  if (order === "longest") return found.sort((one, other) => (other.seconds ?? 0) - (one.seconds ?? 0));
  if (order === "failures") return found.sort((one, other) => other.failed - one.failed);
  return order === "newest" ? found : found.sort((one, other) => rank(one) - rank(other));
}
