import { useState } from "preact/hooks";
import type { ApprovalView } from "../../base/boards.ts";
import { coarse, number, UNKNOWN, visible, whole } from "../../base/format.ts";
import { href } from "../../base/router.ts";
import { AgentName, Button } from "../../parts/parts.tsx";
import type { Roving } from "../../parts/roving.ts";
import { Sign } from "../../parts/Sign.tsx";
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
      <table class="table approvals-table">
        <caption class="unseen">What was decided, the newest first</caption>
        <thead>
          <tr>
            <th scope="col" class="column-left">
              Verdict
            </th>
            <th scope="col" class="column-agent">
              Agent
            </th>
            <th scope="col">What and why</th>
            <th scope="col" class="column-risk">
              By
            </th>
            <th scope="col" class="column-answered right">
              Took
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, shown).map((one) => (
            <DecidedRow key={one.approval_id} one={one} isSelected={one.approval_id === selected} roving={roving} />
          ))}
        </tbody>
      </table>
      {rows.length > shown && (
        <p class="more-row">
          <Button onClick={onMore}>
            Show {number(Math.min(STEP, rows.length - shown))} of {number(rows.length - shown)} more
          </Button>
        </p>
      )}
    </section>
  );
}

function DecidedRow({ one, isSelected, roving }: { one: ApprovalView; isSelected: boolean; roving: Roving }) {
  const { sign, tone } = verdictOf(one.state);
  const by = deciders(one.decided_by);
  return (
    <tr aria-selected={isSelected} {...roving.row(one.approval_id)}>
      <td class="cell-left">
        <span class={`with-sign tone-${tone}`} title={whole(one.decided_at)}>
          <Sign name={sign} size={14} /> {visible(one.state)}
        </span>
      </td>
      <td class="cell-agent">
        <AgentName name={one.agent} />
      </td>
      <td class="cell-call">
        <WhatAndWhy one={one} />
      </td>
      <td class="cell-risk">
        <span class="cut second" title={by}>
          {by}
        </span>
      </td>
      <td class="cell-answered right second">
        {typeof one.waited_seconds === "number" ? coarse(one.waited_seconds * 1000) : UNKNOWN}
      </td>
    </tr>
  );
}

function WhatAndWhy({ one }: { one: ApprovalView }) {
  const words = one.arguments ? argumentWords(one.arguments) : "";
  const reason = visible(one.reason) || (one.state === "expired" ? "no answer in time" : "");
  const isByHand = reason && !one.is_failure && one.decided_by.length > 0;
  const why = isByHand ? `“${reason}”` : reason || words;
  return (
    <span class="cut call" title={`${visible(one.action)}(${words})${reason && `: ${reason}`}`}>
      <b>{visible(one.action)}</b> <span class={one.is_failure ? "attention" : "second"}>{why}</span>
    </span>
  );
}
