// A row an attachment: the troubled first, its action at the end.

import { useState } from "preact/hooks";
import { api, troubleOf } from "../../base/api.ts";
import { now } from "../../base/clock.ts";
import { number, visible } from "../../base/format.ts";
import type { ListenerRow } from "../../base/wire.ts";
import { say } from "../../frame/say.tsx";
import { Button } from "../../parts/parts.tsx";
import type { Roving } from "../../parts/roving.ts";
import { Sign } from "../../parts/Sign.tsx";
import { whyNotOperate } from "../../stream/state.ts";
import { dutyWords, isSuspended, isWrong, remarkOf, stateOf } from "./words.ts";

const HEADS = ["Listener", "Duty", "State", "Lag", "Handled", "Dropped", "Failed", "Retries", "Last error"];

export interface AttachmentsProps {
  rows: readonly ListenerRow[];
  selected: string;
  roving: Roving;
  onDone: () => void;
}

export function Attachments({ rows, selected, roving, onDone }: AttachmentsProps) {
  return (
    <table class="table attachments">
      <caption class="unseen">What listens to the hub, the troubled first</caption>
      <thead>
        <tr>
          {HEADS.map((head, index) => (
            <th key={head} scope="col" class={index > 2 && index < 8 ? `right at-${index}` : `at-${index}`}>
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr
            key={row.listener}
            class={isWrong(row) ? "is-wrong" : undefined}
            aria-selected={row.listener === selected}
            {...roving.row(row.listener)}
          >
            <Cells row={row} onDone={onDone} />
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Cells({ row, onDone }: { row: ListenerRow; onDone: () => void }) {
  const state = stateOf(row);
  const wrong = isWrong(row);
  return (
    <>
      <td class="listener-name">
        <span class="with-sign">
          <Sign name="listener" size={14} class="family-plumbing" />
          <span class="named cut" title={visible(row.listener)}>
            {visible(row.listener)}
          </span>
        </span>
      </td>
      <td class="second listener-duty">{dutyWords(row.duty)}</td>
      <td class="listener-state">
        <span class="with-sign">
          <Sign name={state.sign} size={14} class={`tone-${state.tone}`} />
          <span class={wrong ? "named wrong" : "named"}>{state.words}</span>
        </span>
      </td>
      <Count head="lag" value={row.lag} isWrong={wrong && (row.lag ?? 0) > 0} />
      <Count head="handled" value={row.handled} />
      <Count head="dropped" value={row.dropped} isWrong={row.dropped > 0} />
      <Count head="failed" value={row.failed} />
      <Count head="retries" value={row.retries} />
      <td class="listener-remark">
        <span class="remark">
          <Remark row={row} />
          {isSuspended(row) && <Resume name={row.listener} onDone={onDone} />}
        </span>
      </td>
    </>
  );
}

function Count({ head, value, isWrong }: { head: string; value: number | null | undefined; isWrong?: boolean }) {
  return (
    <td class={`right ${isWrong ? "wrong" : value ? "" : "quiet"}`} data-head={head}>
      {number(value)}
    </td>
  );
}

function Remark({ row }: { row: ListenerRow }) {
  const words = remarkOf(row, now.value);
  return (
    <span class={isWrong(row) ? "cut wrong" : "cut second"} title={words}>
      {words}
    </span>
  );
}

/** Let a suspended listener go on from where it was. */
export function Resume({ name, onDone }: { name: string; onDone: () => void }) {
  const [state, setState] = useState("");
  const press = async () => {
    setState("sending");
    try {
      await api.resume(name);
      say(`${name} goes on`, "listeners");
      setState("");
    } catch (error) {
      const trouble = troubleOf(error);
      setState(`${trouble.message} ${trouble.suggestion}`);
    }
    onDone();
  };
  const isSending = state === "sending";
  return (
    <>
      {state && !isSending && (
        <span class="cut wrong" role="alert" title={state}>
          Not resumed: {state}
        </span>
      )}
      <Button off={whyNotOperate.value || (isSending ? "It is being resumed." : "")} onClick={() => void press()}>
        Resume
      </Button>
    </>
  );
}
