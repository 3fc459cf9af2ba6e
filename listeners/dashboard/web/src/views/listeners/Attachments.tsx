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
import { type Column, Table } from "../../parts/Table.tsx";
import { whyNotOperate } from "../../stream/state.ts";
import { dutyWords, isSuspended, isWrong, remarkOf, stateOf } from "./words.ts";

export interface AttachmentsProps {
  rows: readonly ListenerRow[];
  selected: string;
  roving: Roving;
  onDone: () => void;
}

export function Attachments({ rows, selected, roving, onDone }: AttachmentsProps) {
  const remark: Column<ListenerRow> = {
    head: "Last error",
    class: "listener-remark",
    cell: (row) => (
      <span class="remark">
        <Remark row={row} />
        {isSuspended(row) && <Resume name={row.listener} onDone={onDone} />}
      </span>
    ),
  };
  return (
    <Table
      label="What listens to the hub, the troubled first"
      class="attachments"
      columns={[...COLUMNS, remark]}
      rows={rows}
      keyOf={(row) => row.listener}
      selected={selected}
      row={(row) => ({ class: isWrong(row) ? "is-wrong" : undefined, ...roving.row(row.listener) })}
    />
  );
}

function Name({ row }: { row: ListenerRow }) {
  return (
    <span class="with-sign">
      <Sign name="listener" size={14} class="family-plumbing" />
      <span class="named cut" title={visible(row.listener)}>
        {visible(row.listener)}
      </span>
    </span>
  );
}

function State({ row }: { row: ListenerRow }) {
  const state = stateOf(row);
  return (
    <span class="with-sign">
      <Sign name={state.sign} size={14} class={`tone-${state.tone}`} />
      <span class={isWrong(row) ? "named wrong" : "named"}>{state.words}</span>
    </span>
  );
}

type CountName = "lag" | "handled" | "dropped" | "failed" | "retries";

function count(head: string, name: CountName, isBad: (row: ListenerRow) => boolean = () => false): Column<ListenerRow> {
  return {
    head,
    class: `listener-${name}`,
    right: true,
    label: name,
    tone: (row) => (row[name] && isBad(row) ? "wrong" : row[name] ? undefined : "quiet"),
    cell: (row) => number(row[name]),
  };
}

const COLUMNS: readonly Column<ListenerRow>[] = [
  { head: "Listener", class: "listener-name", cell: (row) => <Name row={row} /> },
  { head: "Duty", class: "listener-duty", cell: (row) => <span class="second">{dutyWords(row.duty)}</span> },
  { head: "State", class: "listener-state", cell: (row) => <State row={row} /> },
  count("Lag", "lag", isSuspended),
  count("Handled", "handled"),
  count("Dropped", "dropped", () => true),
  count("Failed", "failed"),
  count("Retries", "retries"),
];

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
