// What stands below the rows when there is nothing, or next to nothing, to see.

import { FIELDS, type Field, partsOf, wholeTest } from "../base/filter.ts";
import { many, number } from "../base/format.ts";
import { familyOf } from "../base/kinds.ts";
import { setParams } from "../base/router.ts";
import { Empty } from "../parts/Empty.tsx";
import { Waiting } from "../parts/Notes.tsx";
import { Button } from "../parts/parts.tsx";
import { isGap } from "../stream/rows.ts";
import { health, rows } from "../stream/state.ts";
import { backWords, dropPart, NO_FILTER, nameOf } from "./FilterBar.tsx";
import { back, drawnCount, entryAt, filter, listVersion, range, rangeRows } from "./model.ts";

const SAY = `planner = await hub.agents.register("planner")
channel = await hub.channels.open([planner], topic="hello")
await channel.post(planner, {"text": "hello, hub"})`;
const WATCH = `hubwire demo --store ./demo
hubwire import chats.jsonl --format openai-chat --store ./chats`;
/** With more rows than these there is something to see. */
const FEW = 8;

/** Whether no agent has done a thing yet: the hub has only spoken of itself. */
function isEmptyHub(): boolean {
  const { all } = rows;
  if (all.length > FEW) return false;
  for (let index = 0; index < all.length; index += 1) {
    const entry = all.at(index);
    if (!entry || isGap(entry) || familyOf(entry.kind) !== "plumbing") return false;
  }
  return true;
}

export function Nothing() {
  void listVersion.value;
  const parts = partsOf(filter.value, nameOf);
  if (range.value) return <NothingInRange />;
  if (parts.length === 0) {
    if (!isEmptyHub() || health.value === "connecting") return null;
    return (
      <div class="below-rows">
        <Empty
          title="The hub is up. No agent has done anything yet."
          code={[
            ["Let an agent say something", SAY],
            ["Or watch the agents of others", WATCH],
          ]}
        >
          This page listens; what happens next shows above, the moment it is committed.
        </Empty>
      </div>
    );
  }
  if (drawnRows() > 0 || health.value === "connecting") return null;
  return (
    <div class="below-rows">
      <section class="empty" aria-live="off">
        <h2>No event matches in the {backWords(back.value)}</h2>
        <p>
          {many(rows.all.length, "event was", "events were")} hidden by{" "}
          {parts.map((part) => `${part.name} ${part.value}`).join(", ")}.
        </p>
        <p class="buttons">
          {back.value < 3600 && <Button onClick={() => setParams({ back: "3600" }, false)}>Look back 1 hour</Button>}
          {parts.map((part) => {
            const found = wouldMatch(part.field);
            return (
              <Button key={part.field} onClick={() => dropPart(part.field)}>
                {`Drop “${part.name} ${part.value}”`}
                {found ? <span class="quiet">{`shows ${number(found)}`}</span> : null}
              </Button>
            );
          })}
          <Button onClick={() => setParams(NO_FILTER, false)}>Clear all</Button>
        </p>
      </section>
    </div>
  );
}

/** Rows that are drawn; gaps are none. More than a screenful is not counted on. */
function drawnRows(): number {
  const count = drawnCount();
  let found = 0;
  for (let index = 0; index < count && found < FEW; index += 1) {
    const entry = entryAt(index, count);
    if (entry && !isGap(entry)) found += 1;
  }
  return found;
}

function NothingInRange() {
  const held = rangeRows.value;
  if (held === null) return <Waiting what="the events of this stretch" />;
  if (held.trouble) return <p class="note wrong">{held.trouble}</p>;
  if (held.list.length > 0) {
    return held.isCut ? (
      <p class="note">
        The newest {number(held.list.length)} of this stretch are shown. Select a shorter one, or use Log.
      </p>
    ) : null;
  }
  return (
    <div class="below-rows">
      <section class="empty">
        <h2>No event matches in this stretch of time</h2>
        <p class="buttons">
          <Button onClick={() => dropPart("range")}>All times</Button>
          <Button onClick={() => setParams(NO_FILTER, false)}>Clear all</Button>
        </p>
      </section>
    </div>
  );
}

/** How many rows there would be without a part of the filter. */
function wouldMatch(field: Field | "text" | "show"): number {
  const without = field === "show" ? null : field;
  const reduced = field === "show" ? { ...filter.value, shown: [] } : filter.value;
  const test = wholeTest(
    reduced,
    without !== null && (without === "text" || FIELDS.includes(without)) ? without : null,
  );
  let found = 0;
  for (let index = 0; index < rows.all.length; index += 1) {
    const entry = rows.all.at(index);
    if (entry && !isGap(entry) && (test === null || test(entry))) found += 1;
  }
  return found;
}
