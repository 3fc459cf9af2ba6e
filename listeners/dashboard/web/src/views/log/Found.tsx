// What was found: how many, of how many, how fast; and what to do where nothing was.

import { now } from "../../base/clock.ts";
import { duration, many, number, visible } from "../../base/format.ts";
import { param, place, setParams } from "../../base/router.ts";
import type { Looked } from "../../base/wire.ts";
import { Empty } from "../../parts/Empty.tsx";
import { Button } from "../../parts/parts.tsx";
import { nameOf } from "./names.ts";
import type { Pages } from "./pages.ts";
import { partsOf, valueWords, withoutPart, withoutParts } from "./query.ts";

const CODE = [
  [
    "Keep a log",
    'store = open_store("./data")\nasync with Hub(store, listeners=[AuditLog(store)]) as hub:\n    planner = await hub.agents.register("planner")',
  ],
] as const;

function lookedAt(looked: Looked | null): number | null {
  if (!looked) return null;
  if (typeof looked.records === "number") return looked.records;
  const { first_seq: first, last_seq: last } = looked;
  return typeof first === "number" && typeof last === "number" ? last - first + 1 : null;
}

export interface FoundBarProps {
  pages: Pages;
  /** All that match; null: not counted yet. */
  counted: number | null;
  newestFirst: boolean;
  sideIsOpen: boolean;
}

export function FoundBar({ pages, counted, newestFirst, sideIsOpen }: FoundBarProps) {
  const looked = lookedAt(pages.looked);
  const count = counted ?? (pages.hasMore ? null : pages.rows.length);
  // A page of the newest reads the end of the log alone, and the count has looked at all of it.
  const isOf = looked !== null && count !== null && looked >= count;
  const flip = () => setParams({ order: newestFirst ? "oldest" : null }, false);
  return (
    <div class="found-bar">
      <b class="named">{count === null ? `${number(pages.rows.length)} events so far` : many(count, "event")}</b>
      <span class="second cut" title={visible(pages.looked?.text ?? "")}>
        {isOf && `of ${number(looked)} looked at`}
        {pages.tookMs !== null && `${isOf ? ", " : ""}in ${duration(pages.tookMs)}`}
        {pages.looked?.text && ` · ${visible(pages.looked.text)}`}
      </span>
      <span class="space" />
      <Button class="facets-switch" sign="filter" expanded={sideIsOpen} onClick={flipSide}>
        Counts
      </Button>
      <Button look="sign" sign="again" label="Read again" onClick={pages.again} />
      <Button look="plain" class="order" label="Other order" onClick={flip}>
        {newestFirst ? "newest first" : "oldest first"}
      </Button>
    </div>
  );
}

function flipSide(): void {
  setParams({ counts: param("counts") ? null : "1" });
}

export function NothingFound({ pages }: { pages: Pages }) {
  const { params } = place.value;
  const parts = partsOf(params);
  if (parts.length === 0) {
    return (
      <Empty title="The log has no event yet." code={CODE}>
        An AuditLog keeps each event for good, and what was lost or changed can be proved.
      </Empty>
    );
  }
  const looked = lookedAt(pages.looked);
  return (
    <section class="empty">
      <h2>No event matches</h2>
      <p>
        {looked !== null ? `${many(looked, "event was", "events were")} looked at. ` : ""}
        {pages.looked?.text && `${visible(pages.looked.text)}. `}
        Take a part of the query away:
      </p>
      <p class="drop-buttons">
        {parts.map((part) => {
          const words = visible(valueWords({ ...part, value: nameOf(part.value) }, now.peek()));
          return (
            <Button
              key={`${part.field} ${part.value}`}
              onClick={() => setParams(withoutPart(place.peek().params, part), false)}
            >
              <span class="cut">
                Drop “{part.field} {words}”
              </span>
            </Button>
          );
        })}
        {parts.length > 1 && <Button onClick={() => setParams(withoutParts(), false)}>Clear all</Button>}
      </p>
    </section>
  );
}
