// What waits for a person, the oldest first; and below, what was decided, by whom, why, how fast.

import { useBoard } from "../base/board.ts";
import type { ApprovalView } from "../base/boards.ts";
import { now } from "../base/clock.ts";
import { duration, instant, many, number } from "../base/format.ts";
import { select, selectedId } from "../base/selected.ts";
import { Empty } from "../parts/Empty.tsx";
import { Unread } from "../parts/Notes.tsx";
import { useRoving } from "../parts/roving.ts";
import { whyNotOperate } from "../stream/state.ts";
import { ApprovalDrawer } from "./approvals/ApprovalDrawer.tsx";
import { Decided, useShown } from "./approvals/Decided.tsx";
import { useSorted } from "./approvals/lingering.ts";
import { Waiting } from "./approvals/Waiting.tsx";
import { isWaiting, midnightOf, tally } from "./approvals/words.ts";

const LIMIT = 1000;
const NONE: readonly ApprovalView[] = [];

const CODE = [
  [
    "Let an agent ask",
    'hub = Hub(store, approvals=ApprovalPolicy(timeout_seconds=600))\nasync with hub:\n    coder = await hub.agents.register("coder")\n    await hub.approvals.gate(coder, "deploy", arguments={"to": "production"})',
  ],
] as const;

export function Approvals() {
  const board = useBoard<ApprovalView>("approvals", { limit: LIMIT });
  const rows = board.data?.rows ?? NONE;
  const { waiting, decided } = useSorted(rows);
  const [shown, onMore] = useShown();
  const selected = selectedId();
  const keys = [...waiting, ...decided.slice(0, shown)].map((one) => one.approval_id);
  const roving = useRoving({ name: "approval", keys, open: selected, onOpen: select });
  const at = instant(board.data?.now);
  const count = waiting.filter(isWaiting).length;
  const sums = tally(decided, midnightOf(now.peek()));
  const close = () => {
    select(null, { arguments: null });
    setTimeout(() => roving.focus(selected), 0);
  };
  return (
    <>
      <section class="view approvals contained" aria-label="Approvals">
        <header class="view-head">
          <h1>Approvals</h1>
          {count > 0 && <span class="accent named">{waitWords(count)}</span>}
          <span class="space" />
          {sums.median !== null && <span class="second only-roomy">median answer today {median(sums.median)}</span>}
        </header>
        <div class="view-scroll">
          {!board.data ? (
            <Unread reading={board} what="the approvals" />
          ) : rows.length === 0 ? (
            <Empty title="No agent has asked for anything yet." code={CODE}>
              What an agent may not do before a person has agreed waits here, with its arguments and its risk.
            </Empty>
          ) : (
            <>
              {waiting.length > 0 ? (
                <Waiting rows={waiting} selected={selected} at={at} roving={roving} />
              ) : (
                <p class="nothing-waits">Nothing waits for you.</p>
              )}
              {decided.length > 0 && (
                <Decided
                  rows={decided}
                  shown={shown}
                  onMore={onMore}
                  tally={sums}
                  selected={selected}
                  roving={roving}
                />
              )}
              {board.data.not_shown > 0 && (
                <p class="foot-words">
                  {many(board.data.not_shown, "older one")} have left this page: the log has them.
                </p>
              )}
            </>
          )}
        </div>
      </section>
      {selected && (
        <ApprovalDrawer
          key="drawer"
          id={selected}
          known={rows.find((one) => one.approval_id === selected) ?? null}
          at={at}
          onClose={close}
          onDecided={board.again}
        />
      )}
    </>
  );
}

function waitWords(count: number): string {
  const verb = count === 1 ? "waits" : "wait";
  return `${number(count)} ${verb}${whyNotOperate.value ? "" : " for you"}`;
}

function median(ms: number): string {
  return ms >= 1000 ? duration(Math.round(ms / 1000) * 1000).replace(/\.0+ s$/, " s") : duration(ms);
}
