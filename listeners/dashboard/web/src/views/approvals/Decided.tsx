import { useState } from "preact/hooks";
import type { ApprovalView } from "../../base/boards.ts";
import { coarse, number, UNKNOWN, visible, whole } from "../../base/format.ts";
import { href } from "../../base/router.ts";
import { ShowMore } from "../../parts/parts.tsx";
import type { Roving } from "../../parts/roving.ts";
import { Sign } from "../../parts/Sign.tsx";
import { type Column, Table } from "../../parts/Table.tsx";
import { AGENT, Call } from "./Call.tsx";
import { argumentWords, deciders, type Tally, verdictOf } from "./words.ts";

export const STEP = 100;

export interface DecidedProps {
  rows: readonly ApprovalView[];
  shown: number;
  onMore: () => void;
  tally: Tally;
  selected: string;
  roving: Roving;
}

export function useShown(): [number, () => void] {
  const [shown, setShown] = useState(STEP);
  return [shown, () => setShown((old) => old + STEP)];
}

export function Decided({ rows, shown, onMore, tally, selected, roving }: DecidedProps) {
  return (
    <section class="decided">
      <header class="section-head">
        <h2>Decided</h2>
        {tally.today > 0 && (
          <span class="second">
            today {number(tally.today)} · {tally.words}
          </span>
        )}
        <span class="space" />
        <a href={href("log", "", { kind: ["approval.*"] })}>All in the log</a>
      </header>
      <Table
        label="What was decided, the newest first"
        class="approvals-table"
        columns={COLUMNS}
        rows={rows.slice(0, shown)}
        keyOf={(one) => one.approval_id}
        selected={selected}
        row={(one) => roving.row(one.approval_id)}
      />
      <ShowMore step={STEP} left={rows.length - shown} onMore={onMore} />
    </section>
  );
}

function Verdict({ one }: { one: ApprovalView }) {
  const { sign, tone } = verdictOf(one.state);
  return (
    <span class={`with-sign tone-${tone}`} title={whole(one.decided_at)}>
      <Sign name={sign} size={14} /> {visible(one.state)}
    </span>
  );
}

function By({ one }: { one: ApprovalView }) {
  const by = deciders(one.decided_by);
  return (
    <span class="cut second" title={by}>
      {by}
    </span>
  );
}

function WhatAndWhy({ one }: { one: ApprovalView }) {
  const words = one.arguments ? argumentWords(one.arguments) : "";
  const reason = visible(one.reason) || (one.state === "expired" ? "no answer in time" : "");
  const isByHand = reason && !one.is_failure && one.decided_by.length > 0;
  const why = isByHand ? `“${reason}”` : reason || words;
  return <Call one={one} reason={reason} after={<span class={one.is_failure ? "attention" : "second"}> {why}</span>} />;
}

const COLUMNS: readonly Column<ApprovalView>[] = [
  { head: "Verdict", class: "column-left", cell: (one) => <Verdict one={one} /> },
  AGENT,
  { head: "What and why", class: "column-call", cell: (one) => <WhatAndWhy one={one} /> },
  { head: "By", class: "column-risk", cell: (one) => <By one={one} /> },
  {
    head: "Took",
    class: "column-answered",
    right: true,
    tone: () => "second",
    cell: (one) => (typeof one.waited_seconds === "number" ? coarse(one.waited_seconds * 1000) : UNKNOWN),
  },
];
