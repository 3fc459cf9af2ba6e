// The rows of Live. Only what is seen is in the page; a row stays at its pixel while the list is paused.

import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from "@tanstack/virtual-core";
import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { showsWrongAlone } from "../base/filter.ts";
import { number } from "../base/format.ts";
import { goView, setParams } from "../base/router.ts";
import { isNarrow } from "../base/screen.ts";
import { EventHeads, EventRow, GAP_HEIGHT, GapLine, NARROW_ROW_HEIGHT, rowHeight } from "../parts/EventRow.tsx";
import { Button, Key } from "../parts/parts.tsx";
import { Sign } from "../parts/Sign.tsx";
import { type Entry, isGap, seqOf } from "../stream/rows.ts";
import { health } from "../stream/state.ts";
import {
  busyRate,
  cursor,
  drawnCount,
  entryAt,
  filter,
  listVersion,
  newCount,
  pause,
  pausedAt,
  range,
  rangeRows,
  resume,
  shown,
} from "./model.ts";

type Lister = Virtualizer<HTMLDivElement, HTMLDivElement>;

/** A list that draws what is seen of `count` entries of the sizes that `sizeOf` says. */
function useLister(
  scroller: RefObject<HTMLDivElement | null>,
  count: number,
  sizeOf: (index: number) => number,
  margin: number,
) {
  const [, draw] = useState(0);
  // Sizes go by what an entry is, and entries move on as new ones come: another function of keys has them read again.
  const version = listVersion.value;
  const getItemKey = useMemo(() => (index: number) => index, [version, count, isNarrow.value]);
  const options = {
    count,
    getItemKey,
    estimateSize: sizeOf,
    scrollMargin: margin,
    overscan: 8,
    getScrollElement: () => scroller.current,
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset,
    onChange: () => draw((old) => old + 1),
  };
  const held = useRef<Lister | null>(null);
  held.current ??= new Virtualizer<HTMLDivElement, HTMLDivElement>(options);
  const lister = held.current;
  lister.setOptions(options);
  useLayoutEffect(() => lister._didMount(), [lister]);
  useLayoutEffect(() => lister._willUpdate());
  return lister;
}

export interface ListProps {
  selected: number | null;
  beside: boolean;
  onOpen: (seq: number) => void;
}

export function List({ selected, beside, onOpen }: ListProps) {
  void listVersion.value;
  const scroller = useRef<HTMLDivElement>(null);
  const heads = useRef<HTMLDivElement>(null);
  const count = drawnCount();
  const sizeOf = (index: number) => {
    const entry = entryAt(index, count);
    return entry && isGap(entry) ? (isNarrow.value ? NARROW_ROW_HEIGHT : GAP_HEIGHT) : rowHeight();
  };
  const margin = useHeadHeight(heads);
  const lister = useLister(scroller, count, sizeOf, margin);
  useFollowing(scroller, lister, count, margin);
  const at = cursor.value ?? selected;
  const items = lister.getVirtualItems();
  const isNumbered = items.some(({ index }) => /^#\d/.test(channelOf(entryAt(index, count))));
  const isWrong = showsWrongAlone(filter.value);
  const classes = ["rows", beside && "rows-beside", isNumbered && "rows-numbered", isWrong && "rows-wrong"]
    .filter(Boolean)
    .join(" ");
  const isDrawn = at !== null && items.some(({ index }) => isEvent(entryAt(index, count), at));
  const slots = useSlots(items.length);
  return (
    <div
      ref={scroller}
      role="grid"
      class={classes}
      aria-label="Events, newest first"
      aria-rowcount={count + 1}
      aria-activedescendant={isDrawn ? `row-${at}` : undefined}
      tabIndex={0}
      onScroll={() => {
        if ((scroller.current?.scrollTop ?? 0) > 2) pause();
      }}
    >
      <div ref={heads} role="rowgroup" class="rows-heads">
        {!isNarrow.value && <EventHeads />}
        <Strip />
      </div>
      {/* A row that is pressed stays below the pointer until it is let go: what is opened is what was pressed. */}
      <div
        role="rowgroup"
        class="rows-body"
        onPointerDown={(event) => {
          if (event.button === 0) pause();
        }}
        style={{ height: `${lister.getTotalSize()}px` }}
      >
        {items.map((item) => {
          const entry = entryAt(item.index, count);
          if (!entry) return null;
          const top = item.start - margin;
          if (isGap(entry)) {
            const read = () => readFromLog(item.index, count);
            const words = { first: entry.first_seq, last: entry.last_seq, code: entry.code, text: entry.text };
            return <GapLine key={slots(item.index, count)} {...words} top={top} index={item.index} onRead={read} />;
          }
          return (
            <EventRow
              key={slots(item.index, count)}
              row={entry}
              top={top}
              index={item.index}
              isSelected={entry.seq === at}
              beside={beside}
              onOpen={(row) => onOpen(row.seq)}
            />
          );
        })}
      </div>
    </div>
  );
}

function channelOf(entry: Entry | undefined): string {
  return entry !== undefined && !isGap(entry) ? (entry.channel ?? "") : "";
}

function isEvent(entry: Entry | undefined, seq: number): boolean {
  return entry !== undefined && !isGap(entry) && entry.seq === seq;
}

/** Go to the log at a gap: to the time from the row below it to the row above it. */
function readFromLog(index: number, count: number): void {
  const [older, newer] = [entryAt(index + 1, count), entryAt(index - 1, count)];
  goView("log", "", {
    ...(older && !isGap(older) ? { since: [older.at] } : {}),
    ...(newer && !isGap(newer) ? { until: [newer.at] } : {}),
  });
}

/**
 * Which element shows a row: the one that shows it already, else one that is no longer needed. A row has the same one
 * wherever the list is scrolled to, and none is made while it scrolls.
 */
function useSlots(needed: number): (index: number, count: number) => number {
  const most = useRef(1);
  most.current = Math.max(most.current, needed);
  const { dropped } = shown();
  return (index, count) => (dropped + count - 1 - index) % most.current;
}

/** How high heads and strip are. */
function useHeadHeight(heads: RefObject<HTMLDivElement | null>): number {
  const [height, setHeight] = useState(0);
  useLayoutEffect(() => setHeight(heads.current?.offsetHeight ?? 0));
  return height;
}

/** The newest row is at the top while the list is not paused; a chosen one is brought into sight. */
function useFollowing(scroller: RefObject<HTMLDivElement | null>, lister: Lister, count: number, margin: number): void {
  const isPaused = pausedAt.value !== null || range.value !== null;
  useLayoutEffect(() => {
    if (!isPaused && scroller.current) scroller.current.scrollTop = 0;
  }, [isPaused]);
  const chosen = cursor.value;
  const held = rangeRows.value;
  useEffect(() => {
    const element = scroller.current;
    if (chosen === null || !element) return;
    for (let index = 0; index < count; index += 1) {
      const entry = entryAt(index, count);
      if (!entry || seqOf(entry) < chosen) return;
      if (seqOf(entry) !== chosen) continue;
      const item = lister.measurementsCache[index];
      if (item) bringIntoSight(element, item.start - margin, item.size, margin);
      return;
    }
  }, [chosen, held]);
}

/** Scroll as little as needed; to what was far away so that it stands in the middle. No row is cut at the top. */
function bringIntoSight(element: HTMLElement, top: number, size: number, margin: number): void {
  const room = element.clientHeight - margin;
  const above = element.scrollTop - top;
  const below = top + size - element.scrollTop - room;
  const before = Math.max(0, Math.floor(room / size) - 1);
  if (Math.max(above, below) > size * 3) element.scrollTop = top - Math.floor(before / 2) * size;
  else if (above > 0) element.scrollTop = top;
  else if (below > 0) element.scrollTop = top - before * size;
}

/**
 * Above the rows: whether they follow what happens, are too many to be read, or are paused. It is always there and
 * always as high, so that no row moves or is covered when that changes.
 */
function Strip() {
  if (range.value) return null;
  if (pausedAt.value !== null) return <Paused at={pausedAt.value} />;
  const isLost = health.value === "reconnecting" || health.value === "stale";
  return busyRate.value && !isLost ? <Busy rate={busyRate.value} /> : <Following isLost={isLost} />;
}

interface StripLineProps {
  class: string;
  children: ComponentChildren;
  /** What can be done, at its end. */
  action: ComponentChildren;
}

function StripLine({ class: extra, children, action }: StripLineProps) {
  return (
    <div role="row" class={`strip ${extra}`}>
      <span role="gridcell" class="strip-words">
        {children}
      </span>
      <span role="gridcell" class="strip-action">
        {action}
      </span>
    </div>
  );
}

function Paused({ at }: { at: number }) {
  void listVersion.value;
  const fresh = newCount();
  return (
    <StripLine
      class="strip-paused"
      action={
        <Button look="filled" sign="up" hotkey={isNarrow.value ? "" : "home"} onClick={resume}>
          {fresh ? `${number(fresh)} new` : "Go on"}
        </Button>
      }
    >
      <Sign name="pause" size={14} class="tone-accent" />
      <span>Paused at #{number(at)}</span>
    </StripLine>
  );
}

function Busy({ rate }: { rate: number }) {
  return (
    <StripLine
      class="strip-busy"
      action={
        <Button look="plain" hotkey={isNarrow.value ? "" : "e"} onClick={() => setParams({ show: "wrong" }, false)}>
          Only failures
        </Button>
      }
    >
      {isNarrow.value ? (
        <span>{number(rate)} events a second</span>
      ) : (
        <span class="cut" title="Scroll or space holds it, and a filter makes it readable">
          {number(rate)} events a second. The newest screenful is drawn twice a second; scroll or <Key>space</Key> holds
          it, and a filter makes it readable.
        </span>
      )}
    </StripLine>
  );
}

function Following({ isLost }: { isLost: boolean }) {
  return (
    <StripLine
      class="strip-following"
      action={
        isNarrow.value ? (
          <Button look="plain" onClick={pause}>
            Pause
          </Button>
        ) : (
          <span class="strip-keys">
            <Key>j</Key> <Key>k</Key> move <Key>enter</Key> open <Key>e</Key> next error
          </span>
        )
      }
    >
      <span class="cut">
        {isLost ? "What came before the hub was out of reach" : "Follows what happens, the newest on top"}
      </span>
    </StripLine>
  );
}
