// The rows of what was found: those of Live, in pages that are read while the reader scrolls.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { number } from "../../base/format.ts";
import { isNarrow } from "../../base/screen.ts";
import type { Row } from "../../base/wire.ts";
import { EventHeads, EventRow, rowHeight } from "../../parts/EventRow.tsx";
import { Button } from "../../parts/parts.tsx";
import type { Pages } from "./pages.ts";

/** So many rows beyond what is seen are drawn. */
const OVER = 12;
/** With fewer rows than these below what is seen, the next page is read. */
const AHEAD = 150;

export interface RowsProps {
  pages: Pages;
  label: string;
  /** The row that keys move from; -1: none. */
  at: number;
  selected: number | null;
  beside: boolean;
  isWrongAlone: boolean;
  onOpen: (row: Row) => void;
}

interface Window {
  top: number;
  height: number;
}

export function Rows({ pages, label, at, selected, beside, isWrongAlone, onOpen }: RowsProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const heads = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState<Window>({ top: 0, height: 800 });
  const { rows } = pages;
  const size = rowHeight();
  const look = () => {
    const element = scroller.current;
    if (!element) return;
    const next = { top: element.scrollTop, height: element.clientHeight };
    setSeen((old) => (old.top === next.top && old.height === next.height ? old : next));
  };
  useLayoutEffect(look, [rows.length, beside]);
  useEffect(() => {
    if (!scroller.current) return;
    const observer = new ResizeObserver(look);
    observer.observe(scroller.current);
    return () => observer.disconnect();
  }, []);
  const first = Math.max(0, Math.floor(seen.top / size) - OVER);
  const last = Math.min(rows.length, Math.ceil((seen.top + seen.height) / size) + OVER);
  useEffect(() => {
    if (rows.length - last < AHEAD) pages.more();
  }, [last, rows.length, pages.isReading]);
  useBringing(scroller, heads, at, size);
  const current = at >= 0 ? rows[at] : undefined;
  return (
    <div
      ref={scroller}
      role="grid"
      class={`rows log-rows ${beside ? "rows-beside" : ""} ${isWrongAlone ? "rows-wrong" : ""}`}
      aria-label={label}
      aria-rowcount={pages.hasMore ? -1 : rows.length + 1}
      aria-activedescendant={current ? `row-${current.seq}` : undefined}
      tabIndex={0}
      onScroll={look}
    >
      <div ref={heads} role="rowgroup" class="rows-heads">
        {!isNarrow.value && <EventHeads />}
      </div>
      <div role="rowgroup" class="rows-body" style={{ height: `${rows.length * size}px` }}>
        {rows.slice(first, last).map((row, offset) => (
          <EventRow
            key={row.seq}
            row={row}
            top={(first + offset) * size}
            index={first + offset}
            isSelected={row.seq === (current?.seq ?? selected)}
            beside={beside}
            onOpen={onOpen}
          />
        ))}
      </div>
      <End pages={pages} />
    </div>
  );
}

/** A row that keys have come to is brought into sight; none is cut at the top. */
function useBringing(
  scroller: { current: HTMLDivElement | null },
  heads: { current: HTMLDivElement | null },
  at: number,
  size: number,
): void {
  useEffect(() => {
    const element = scroller.current;
    if (at < 0 || !element) return;
    const room = element.clientHeight - (heads.current?.offsetHeight ?? 0);
    const top = at * size;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + size > element.scrollTop + room)
      element.scrollTop = top + size - Math.max(1, Math.floor(room / size)) * size;
  }, [at, size]);
}

/** What stands below the last row: that more is read, that reading failed, or that this is all. */
function End({ pages }: { pages: Pages }) {
  return (
    <div role="rowgroup">
      <div role="row" class="log-end">
        <span role="gridcell">
          {pages.trouble ? (
            <>
              <b class="wrong">{pages.trouble.message}</b> {pages.trouble.suggestion}{" "}
              <Button onClick={pages.again}>Read again</Button>
            </>
          ) : pages.hasMore ? (
            pages.isReading && "Reading on."
          ) : (
            `${number(pages.rows.length)} of ${number(pages.rows.length)}: that is all.`
          )}
        </span>
      </div>
    </div>
  );
}
