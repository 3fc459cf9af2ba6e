import type { ApprovalView } from "../../base/boards.ts";
import { now } from "../../base/clock.ts";
import { number, UNKNOWN, visible, whole } from "../../base/format.ts";
import { Meter } from "../../parts/parts.tsx";
import type { Roving } from "../../parts/roving.ts";
import { Sign } from "../../parts/Sign.tsx";
import { type Column, Table } from "../../parts/Table.tsx";
import { AGENT, Call } from "./Call.tsx";
import { Risk } from "./Risk.tsx";
import { allowedOf, argumentWords, countdown, deadlineOf, deciders, isWaiting, verdictOf } from "./words.ts";

const SOON_MS = 120_000;

export interface WaitingProps {
  rows: readonly ApprovalView[];
  selected: string;
  at: number;
  roving: Roving;
}

export function Waiting({ rows, selected, at, roving }: WaitingProps) {
  const columns: readonly Column<ApprovalView>[] = [
    {
      head: "Time left",
      class: "column-left",
      cell: (one) => (isWaiting(one) ? <TimeLeft one={one} at={at} /> : <JustDecided one={one} />),
    },
    AGENT,
    { head: "Wants to run", class: "column-call", cell: (one) => <Call one={one} after={<Arguments one={one} />} /> },
    { head: "Risk", class: "column-risk", cell: (one) => <Risk one={one} /> },
    {
      head: "Answered",
      class: "column-answered",
      title: (one) => visible(one.passed.join(", ")),
      cell: (one) => `${number(one.passed.length)} of ${number(one.quorum)}`,
    },
  ];
  return (
    <Table
      label="What waits for a person, the oldest first"
      class="approvals-table waiting"
      columns={columns}
      rows={rows}
      keyOf={(one) => one.approval_id}
      selected={selected}
      row={(one) => ({
        class: isWaiting(one) ? "waiting-row" : "waiting-row just-decided",
        ...roving.row(one.approval_id),
      })}
    />
  );
}

function TimeLeft({ one, at }: { one: ApprovalView; at: number }) {
  const deadline = deadlineOf(one, at);
  if (deadline === null) return <span class="quiet">{UNKNOWN}</span>;
  const left = Math.max(0, deadline - now.value);
  const allowed = allowedOf(one);
  return (
    <span class="time-left" title={`until ${whole(new Date(deadline).toISOString())}`}>
      <span class="named">{countdown(left)}</span>
      <Meter
        share={allowed > 0 ? left / allowed : 0}
        tone={left < SOON_MS ? "attention" : undefined}
        label={`${countdown(left)} of ${countdown(allowed)} left`}
      />
    </span>
  );
}

function JustDecided({ one }: { one: ApprovalView }) {
  const { sign, tone } = verdictOf(one.state);
  return (
    <span class="time-left" title={`${visible(one.state)} by ${deciders(one.decided_by)}`}>
      <span class={`named tone-${tone} with-sign`}>
        <Sign name={sign} size={14} /> {visible(one.state)}
      </span>
      <span class="quiet cut">by {deciders(one.decided_by)}</span>
    </span>
  );
}

function Arguments({ one }: { one: ApprovalView }) {
  return <span class="second">({one.arguments ? argumentWords(one.arguments) : ""})</span>;
}
