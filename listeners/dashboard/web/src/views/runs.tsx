// Runs: what agents were at, a line each; opened, a waterfall.

import { useRef } from "preact/hooks";
import { useBoard } from "../base/board.ts";
import type { RunView } from "../base/boards.ts";
import { clockMinutes, instant, many, number } from "../base/format.ts";
import { go, param, paramAll, place, setParams, withParams } from "../base/router.ts";
import { useKeys } from "../frame/keys.ts";
import { Empty } from "../parts/Empty.tsx";
import { Unread } from "../parts/Notes.tsx";
import { Button, Chip, Key, Segmented } from "../parts/parts.tsx";
import { Sign } from "../parts/Sign.tsx";
import { toggled, useArranged, useIsAmong, useStops } from "./arranged.ts";
import { Legend } from "./runs/Legend.tsx";
import { ORDERS, type OrderName, passes, sorted } from "./runs/order.ts";
import { Run } from "./runs/Run.tsx";
import { SpanDrawer } from "./runs/SpanDrawer.tsx";
import type { By } from "./runs/spans.ts";

const TURN = `async for delivery in coder.inbox():
    async with hub.turns.turn(coder, prompt=delivery.content) as turn:
        async with turn.tool("ls", {"path": "."}) as call:
            call.done(list_files())
    await delivery.ack()`;

const BYS = [
  ["cause", "By cause"],
  ["agent", "By agent"],
  ["time", "By time"],
] as const;
const FIRST = 60;
const MOST = 500;

export function Runs() {
  const list = useRef<HTMLDivElement>(null);
  const isHeld = useIsAmong(list);
  const order = ORDERS.find(([value]) => value === param("order"))?.[0] ?? "open";
  // The server sorts as this page does by itself, and no other way.
  const reading = useBoard<RunView>("runs", { limit: param("more") || order !== "open" ? MOST : FIRST });
  const text = param("text");
  const by = BYS.find(([value]) => value === param("by"))?.[0] ?? "cause";
  const all = reading.data?.rows ?? [];
  const open = place.value.id ? [place.value.id, ...paramAll("open")] : paramAll("open");
  const shown = sorted(
    all.filter((run) => passes(run, text)),
    order,
  );
  const runs =
    useArranged(
      shown,
      (run) => run.run_id,
      () => order,
      isHeld,
    ).get(order) ?? [];
  const move = useStops(list);
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    f: () => document.getElementById("runs-filter")?.focus(),
    escape: () => (text ? setParams({ text: null }) : false),
  });
  const span = /^(\d+)@(.*)$/s.exec(param("span"));
  return (
    <>
      <section class="view runs" aria-label="Runs">
        <Head count={reading.data ? all.length + reading.data.not_shown : null} order={order} text={text} by={by} />
        <Legend />
        <div class="view-scroll" ref={list}>
          {reading.data === null && <Unread reading={reading} what="the runs" />}
          {reading.data && all.length === 0 && <NoRuns />}
          {all.length > 0 && runs.length === 0 && <NoneMatch text={text} all={all.length} />}
          <ul class="runs-list">
            {runs.map((run) => (
              <Run
                key={run.run_id}
                run={run}
                by={by}
                isOpen={open.includes(run.run_id)}
                onToggle={() => toggle(open, run.run_id)}
              />
            ))}
          </ul>
          <Rest runs={all} notShown={reading.data?.not_shown ?? 0} />
        </div>
      </section>
      {span && <SpanDrawer runId={span[2] ?? ""} number={Number(span[1])} onClose={() => setParams({ span: null })} />}
    </>
  );
}

/** A run that a link has named is an open one like others from then on. */
function toggle(open: readonly string[], runId: string): void {
  go({ ...withParams(place.value, { open: toggled(open, runId), span: null }), id: "" });
}

function Head({ count, order, text, by }: { count: number | null; order: OrderName; text: string; by: By }) {
  return (
    <header class="view-head">
      <h1>Runs</h1>
      {count !== null && <span class="quiet">{number(count)}</span>}
      <label class="runs-order chip">
        <span class="chip-name">order</span>
        <select
          value={order}
          onChange={(event) => {
            const chosen = event.currentTarget.value;
            setParams({ order: chosen === "open" ? null : chosen });
          }}
        >
          {ORDERS.map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <label class="runs-filter">
        <Sign name="filter" size={14} />
        <span class="unseen">Filter by title or agent</span>
        <input
          id="runs-filter"
          type="text"
          placeholder="Title or agent"
          spellcheck={false}
          value={text}
          onInput={(event) => setParams({ text: event.currentTarget.value })}
          onKeyDown={(event) => event.key === "Enter" && event.currentTarget.blur()}
        />
        <Key>f</Key>
      </label>
      {text && <Chip name="filter" value={text} onDrop={() => setParams({ text: null })} />}
      <span class="space" />
      <Segmented
        label="Order of the parts of a run"
        choices={BYS}
        value={by}
        onChoose={(value) => setParams({ by: value === "cause" ? null : value })}
      />
    </header>
  );
}

function Rest({ runs, notShown }: { runs: readonly RunView[]; notShown: number }) {
  if (notShown === 0) return null;
  const oldest = Math.min(...runs.map((run) => instant(run.started_at)));
  const words = `${many(notShown, "run")} more`;
  return (
    <p class="runs-rest quiet">
      {param("more") ? `${words}, older than ${clockMinutes(oldest)}: the log has them.` : words}{" "}
      {!param("more") && <Button onClick={() => setParams({ more: "1" })}>Show them</Button>}
    </p>
  );
}

function NoRuns() {
  return (
    <Empty title="No agent has begun a turn yet." code={[["Handle an envelope in a turn, with a tool in it", TURN]]}>
      A run is what belongs together: turns, the models and tools that they call, and the hand-overs between agents.
    </Empty>
  );
}

function NoneMatch({ text, all }: { text: string; all: number }) {
  return (
    <div class="note">
      <p>{`No run has “${text}” in its title or its agents. This filter hides ${many(all, "run")}.`}</p>
      <Button onClick={() => setParams({ text: null })}>{`Show all ${number(all)}`}</Button>
    </div>
  );
}
