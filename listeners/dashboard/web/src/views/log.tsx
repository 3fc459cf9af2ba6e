// Log: all that was ever recorded, by the fields of `hubwire query`.

import { useEffect, useState } from "preact/hooks";
import { api } from "../base/api.ts";
import { filterOf, showsWrongAlone } from "../base/filter.ts";
import { useOnce } from "../base/once.ts";
import { goView, param, place } from "../base/router.ts";
import { select, selectedId } from "../base/selected.ts";
import type { Row } from "../base/wire.ts";
import { useKeys } from "../frame/keys.ts";
import { around, Detail } from "../live/Detail.tsx";
import { TroubleNote, Unread } from "../parts/Notes.tsx";
import { Export } from "./log/Export.tsx";
import { FACETS, FacetList } from "./log/Facets.tsx";
import { FoundBar, NothingFound } from "./log/Found.tsx";
import { learnFacet } from "./log/names.ts";
import { type Pages, usePages } from "./log/pages.ts";
import { QUERY_ID, QueryLine } from "./log/QueryLine.tsx";
import { queryOf } from "./log/query.ts";
import { Rows } from "./log/Rows.tsx";
import { VerifyStrip } from "./log/VerifyStrip.tsx";

function selectedSeq(): number | null {
  const text = selectedId();
  return /^-?\d{1,15}$/.test(text) ? Number(text) : null;
}

function open(seq: number): void {
  select(`${seq}`);
}

function close(): void {
  select(null);
}

function showInContext(row: Row): void {
  const { since, until } = around(row);
  goView("live", "", { since: [since], until: [until], sel: [`${row.seq}`] });
}

function focusQuery(): void {
  document.getElementById(QUERY_ID)?.focus();
}

/** Which row the keys are at: that of the drawer, or the one they have moved to. */
function useCursor(pages: Pages, selected: number | null): number {
  const [cursor, setCursor] = useState<number | null>(null);
  const { rows } = pages;
  const seq = cursor ?? selected;
  const at = seq === null ? -1 : rows.findIndex((row) => row.seq === seq);
  useEffect(() => setCursor(selected), [selected]);
  const go = (index: number) => {
    const row = rows[index];
    if (!row) return false;
    setCursor(row.seq);
    if (selected !== null) open(row.seq);
    return true;
  };
  const nextError = () => {
    const index = rows.findIndex((row, place) => place > at && row.meaning === "wrong");
    return index >= 0 && go(index);
  };
  useKeys({
    j: () => go(Math.min(at + 1, rows.length - 1)),
    k: () => go(Math.max(at - 1, 0)),
    arrowdown: (event) => (isInRows(event) ? go(Math.min(at + 1, rows.length - 1)) : false),
    arrowup: (event) => (isInRows(event) ? go(Math.max(at - 1, 0)) : false),
    home: () => go(0),
    enter: () => (at >= 0 && rows[at] ? open(rows[at].seq) : false),
    e: nextError,
    "/": focusQuery,
    f: focusQuery,
  });
  return at;
}

function isInRows(event: KeyboardEvent): boolean {
  return event.target instanceof Element && event.target.closest("[role=grid]") !== null;
}

export function Log() {
  const { params } = place.value;
  const query = queryOf(params);
  const newestFirst = param("order") !== "oldest";
  const pages = usePages(query, newestFirst);
  const key = JSON.stringify(query);
  const facets = useOnce("facets", key, (signal) => api.facets({ ...query, fields: FACETS.join(",") }, signal));
  const seq = selectedSeq();
  const at = useCursor(pages, seq);
  const read = facets.data;
  useEffect(() => {
    for (const values of Object.values(read?.facets ?? {})) learnFacet(values);
  }, [read]);
  const counted = read && !facets.trouble && facets.key === key ? read.counted : null;
  const sideIsOpen = param("counts") !== "";
  const isNothing = pages.isRead && pages.rows.length === 0 && !pages.trouble;
  return (
    <>
      <section class="view log contained" aria-label="Log">
        <header class="view-head">
          <h1>Log</h1>
          <QueryLine facets={read} />
          <Export query={query} count={isNothing ? 0 : counted} />
        </header>
        <VerifyStrip />
        <div class={sideIsOpen ? "log-body side-open" : "log-body"}>
          {!isNothing && !pages.trouble && (
            <aside class="facets" aria-label="Counts, each a filter">
              {read && !facets.trouble ? <FacetList read={read} /> : <Unread reading={facets} what="the counts" />}
            </aside>
          )}
          <div class="log-main">
            {!pages.isRead ? (
              pages.trouble ? (
                <TroubleNote trouble={pages.trouble} onAgain={pages.again} />
              ) : (
                pages.isSlow && <p class="note quiet">Waiting for the log to be looked through.</p>
              )
            ) : (
              <>
                <FoundBar pages={pages} counted={counted} newestFirst={newestFirst} sideIsOpen={sideIsOpen} />
                {isNothing ? (
                  <NothingFound pages={pages} />
                ) : (
                  <Rows
                    key={`${key}${newestFirst}`}
                    pages={pages}
                    label={newestFirst ? "Events found, newest first" : "Events found, oldest first"}
                    at={at}
                    selected={seq}
                    beside={seq !== null}
                    isWrongAlone={showsWrongAlone(filterOf(params))}
                    onOpen={(row) => open(row.seq)}
                  />
                )}
              </>
            )}
          </div>
        </div>
      </section>
      {seq !== null && (
        <Detail seq={seq} row={pages.rows[at] ?? null} onClose={close} onSeq={open} onContext={showInContext} />
      )}
    </>
  );
}
