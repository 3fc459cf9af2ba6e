// Live: a histogram above all events as they come.

import { useEffect } from "preact/hooks";
import { param, setParams } from "../base/router.ts";
import { isMedium } from "../base/screen.ts";
import { times } from "../base/settings.ts";
import type { Row } from "../base/wire.ts";
import { useKeys } from "../frame/keys.ts";
import { around, Detail } from "../live/Detail.tsx";
import { FilterBar, NO_FILTER, openFilter } from "../live/FilterBar.tsx";
import { Histogram } from "../live/Histogram.tsx";
import { List } from "../live/List.tsx";
import {
  busyRate,
  cursor,
  drawnCount,
  entryAt,
  indexOf,
  listVersion,
  pause,
  pausedAt,
  range,
  resume,
} from "../live/model.ts";
import { Nothing } from "../live/Nothing.tsx";
import { Button, Segmented } from "../parts/parts.tsx";
import { isGap, seqOf } from "../stream/rows.ts";
import { rows } from "../stream/state.ts";

const TIMES = [
  ["clock", "Clock"],
  ["ago", "Ago"],
] as const;

function selectedSeq(): number | null {
  const text = param("sel");
  return /^\d+$/.test(text) ? Number(text) : null;
}

function open(seq: number): void {
  pause();
  cursor.value = seq;
  setParams({ sel: `${seq}` });
}

function close(): void {
  setParams({ sel: null });
}

/** Move from the chosen row: 1 is the next one below. An open drawer follows. */
function move(step: number): void {
  pause();
  const count = drawnCount();
  const at = cursor.peek() ?? selectedSeq();
  const from = at === null ? (step > 0 ? -1 : 0) : indexOf(at, count);
  let index = from + step;
  while (index >= 0 && index < count) {
    const entry = entryAt(index, count);
    if (entry && !isGap(entry)) {
      choose(entry.seq);
      return;
    }
    index += step;
  }
}

function choose(seq: number): void {
  cursor.value = seq;
  if (selectedSeq() !== null) setParams({ sel: `${seq}` });
}

/** The next row below that is wrong; while the list is busy, only those are shown. */
function nextError(): void {
  if (busyRate.peek() && pausedAt.peek() === null) {
    setParams({ show: "wrong" }, false);
    return;
  }
  pause();
  const count = drawnCount();
  const at = cursor.peek() ?? selectedSeq();
  for (let index = at === null ? 0 : indexOf(at, count) + 1; index < count; index += 1) {
    const entry = entryAt(index, count);
    if (entry && !isGap(entry) && entry.meaning === "wrong") {
      choose(entry.seq);
      return;
    }
  }
}

function showInContext(row: Row): void {
  const isHere =
    rows.all.search((entry) => seqOf(entry) >= row.seq) < rows.all.length && seqOf(rows.all.at(0) ?? row) <= row.seq;
  pause();
  setParams({ ...NO_FILTER, ...(isHere ? {} : around(row)), sel: `${row.seq}` }, false);
  cursor.value = null;
  requestAnimationFrame(() => {
    cursor.value = row.seq;
  });
}

function rowOf(seq: number): Row | null {
  const entry = entryAt(indexOf(seq));
  return entry && !isGap(entry) ? entry : null;
}

function home(): void {
  if (range.peek()) setParams({ since: null, until: null }, false);
  resume();
}

export function Live() {
  void listVersion.value;
  const seq = selectedSeq();
  const isPaused = pausedAt.value !== null;
  // A link, or the way back, has opened another one: keys go on from there.
  useEffect(() => {
    if (seq !== null && cursor.peek() !== null) cursor.value = seq;
  }, [seq]);
  useKeys({
    space: () => (isPaused ? resume() : pause()),
    home,
    j: () => move(1),
    k: () => move(-1),
    arrowdown: (event) => (isInList(event) ? move(1) : false),
    arrowup: (event) => (isInList(event) ? move(-1) : false),
    enter: () => (cursor.peek() === null ? false : open(cursor.peek() as number)),
    e: nextError,
    f: openFilter,
    escape: () => (range.peek() ? setParams({ since: null, until: null }, false) : false),
  });
  return (
    <>
      <section class="view live" aria-label="Live">
        <header class="view-head">
          <h1>Live</h1>
          {!range.value && (
            <Button
              class="only-wide"
              sign={isPaused ? "play" : "pause"}
              hotkey="space"
              onClick={isPaused ? resume : pause}
            >
              {isPaused ? "Resume" : "Pause"}
            </Button>
          )}
          <FilterBar />
          <span class="space" />
          <span class="only-wide">
            <Segmented
              label="How times are shown"
              choices={TIMES}
              value={times.value}
              onChoose={(value) => {
                times.value = value;
              }}
            />
          </span>
        </header>
        <Histogram />
        <List selected={seq} beside={seq !== null || isMedium.value} onOpen={open} />
        <Nothing />
      </section>
      {seq !== null && <Detail seq={seq} row={rowOf(seq)} onClose={close} onSeq={open} onContext={showInContext} />}
    </>
  );
}

function isInList(event: KeyboardEvent): boolean {
  return event.target instanceof Element && event.target.closest("[role=grid]") !== null;
}
