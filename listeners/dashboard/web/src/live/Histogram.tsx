// Events over time: wrong at the foot, then attention, then all others. A drag selects a stretch of time.

import { useEffect, useRef, useState } from "preact/hooks";
import { hubNow } from "../base/clock.ts";
import { SHOWN, type Shown } from "../base/filter.ts";
import { clock, clockMinutes, coarse, instant, many, number } from "../base/format.ts";
import { paramAll, setParams } from "../base/router.ts";
import { isNarrow } from "../base/screen.ts";
import { isGap } from "../stream/rows.ts";
import { rows } from "../stream/state.ts";
import { BINS, type Bin, sums } from "./bins.ts";
import { backWords } from "./FilterBar.tsx";
import { back, bins, entryAt, figuresVersion, filter, pausedAt, range } from "./model.ts";

/** Of the bars, in pixels. */
function chartHeight(): number {
  return isNarrow.value ? 34 : 56;
}

/** Up to so many events are not told apart, and make no high bars. */
const FEW = 8;
const WORDS: Record<Shown, string> = { wrong: "failed", attention: "refused or abandoned", other: "all others" };

function title(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function toggle(which: Shown): void {
  const shown = paramAll("show");
  const next = shown.includes(which) ? shown.filter((each) => each !== which) : [...shown, which];
  setParams({ show: next.length === SHOWN.length ? null : next }, false);
}

export function Histogram() {
  void figuresVersion.value;
  const now = hubNow();
  const { start, bins: list } = bins.window(now);
  const all = sums(list);
  const width = bins.width;
  const peak = Math.max(...list.map((bin) => bin[0] + bin[1] + bin[2]));
  const shown = filter.value.shown;
  const isQuiet = all[0] + all[1] === 0 && all[2] <= FEW && shown.length === 0;
  return (
    <section class="histogram" aria-label="Events over time">
      <div class="legend">
        <h2 class="only-wide">{title(backWords(back.value))}</h2>
        {isQuiet && <span class="quiet">{many(all[2], "event")}</span>}
        {(isQuiet ? [] : SHOWN).map((which, index) => (
          <button
            key={which}
            type="button"
            class={`legend-item legend-${which}`}
            aria-pressed={shown.includes(which)}
            disabled={all[index] === 0 && !shown.includes(which)}
            onClick={() => toggle(which)}
          >
            <span class="swatch" /> <b>{number(all[index])}</b> {WORDS[which]}
          </button>
        ))}
        <span class="space" />
        {isNarrow.value ? (
          <span class="quiet">{coarse(back.value * 1000)}</span>
        ) : (
          !isQuiet && <span class="quiet">peak {number(Math.ceil((peak * 1000) / width))}/s</span>
        )}
      </div>
      <Chart start={start} list={list} width={width} peak={peak} />
      <Table start={start} list={list} width={width} />
    </section>
  );
}

interface ChartProps {
  start: number;
  list: readonly Bin[];
  width: number;
  peak: number;
}

function Chart({ start, list, width, peak }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState(0);
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setRoom(Math.floor(entry?.contentRect.width ?? 0)));
    if (box.current) observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  const height = chartHeight();
  const step = room / BINS;
  const timeAt = (x: number) => start + (Math.max(0, Math.min(room, x)) / step) * width;
  const xOf = (ms: number) => ((ms - start) / width) * step;
  const place = (event: PointerEvent) => event.clientX - (box.current?.getBoundingClientRect().left ?? 0);
  const select = (from: number, to: number) => {
    const [low, high] = [Math.floor(Math.min(from, to) / step), Math.ceil(Math.max(from, to) / step)];
    const since = new Date(start + low * width).toISOString();
    const until = new Date(start + Math.max(high, low + 1) * width).toISOString();
    setParams({ since, until, sel: null }, false);
  };
  return (
    <>
      {/* A pointer selects here; the same is reached by keyboard through the filter. */}
      <div
        ref={box}
        class="chart"
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          setDrag({ from: place(event), to: place(event) });
        }}
        onPointerMove={(event) => drag && setDrag({ from: drag.from, to: place(event) })}
        onPointerUp={() => {
          if (drag) select(drag.from, drag.to);
          setDrag(null);
        }}
        onPointerCancel={() => setDrag(null)}
        title={drag ? `${clock(timeAt(drag.from))} to ${clock(timeAt(drag.to))}` : ""}
      >
        {room > 0 && (
          <svg width={room} height={chartHeight()} viewBox={`0 0 ${room} ${height}`} aria-hidden="true">
            <Bars list={list} step={step} peak={peak} />
            <Gaps start={start} width={width} step={step} />
            <Unread room={room} xOf={xOf} />
            <Selection drag={drag} xOf={xOf} />
          </svg>
        )}
      </div>
      <Axis start={start} width={width} step={step} room={room} />
    </>
  );
}

/** Three layers, one on the other, a path each; the edge on top carries the contrast. */
function Bars({ list, step, peak }: { list: readonly Bin[]; step: number; peak: number }) {
  const height = chartHeight();
  const paths = ["", "", ""];
  let edge = "";
  const room = height - (height >> 3);
  const gap = step > 3 ? 1 : 0;
  list.forEach((bin, index) => {
    const left = Math.round(index * step);
    const right = Math.round((index + 1) * step) - gap;
    let foot = height;
    bin.forEach((count, part) => {
      if (count === 0) return;
      const tall = Math.max(part === 2 ? 1 : 2, (count / Math.max(peak, FEW)) * room);
      const top = Math.max(0, foot - tall);
      paths[part] += `M${left} ${foot}V${top.toFixed(1)}H${right}V${foot}z`;
      foot = top;
    });
    if (bin[2] > 0) edge += `M${left} ${(foot + 0.75).toFixed(2)}H${right}`;
  });
  return (
    <>
      <path class="bars-ground" d={`M0 ${height - 0.5}H${step * BINS}`} />
      <path class="bars-other" d={paths[2]} />
      <path class="bars-edge" d={edge} />
      <path class="bars-attention" d={paths[1]} />
      <path class="bars-wrong" d={paths[0]} />
    </>
  );
}

/** So far back from the newest gaps are looked for. */
const LOOK_BACK = 20_000;

/** Where events are gone: hatched from the row before to the row after. */
function Gaps({ start, width, step }: { start: number; width: number; step: number }) {
  const found: { from: number; to: number }[] = [];
  const { all } = rows;
  for (let index = all.length - 1; index > Math.max(0, all.length - LOOK_BACK); index -= 1) {
    const entry = all.at(index);
    if (!entry || !isGap(entry)) continue;
    const [before, after] = [all.at(index - 1), all.at(index + 1)];
    const to = after && !isGap(after) ? instant(after.at) : start + width * BINS;
    const from = before && !isGap(before) ? instant(before.at) : to;
    if (to > start) found.push({ from: Math.max(from, start), to });
  }
  return (
    <>
      <defs>
        <pattern id="hatched" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
          <rect class="hatch-ground" width="6" height="6" />
          <path class="hatch-line" d="M1.5 0V6" />
        </pattern>
      </defs>
      {found.map(({ from, to }) => {
        const left = Math.floor((from - start) / width) * step;
        const right = Math.max(left + step, Math.ceil((to - start) / width) * step);
        return <rect key={from} x={left} width={right - left} height={chartHeight()} fill="url(#hatched)" />;
      })}
    </>
  );
}

/** The reader's place, and what came after it, paler. */
function Unread({ room, xOf }: { room: number; xOf: (ms: number) => number }) {
  if (pausedAt.value === null || range.value) return null;
  const top = entryAt(0);
  if (!top || isGap(top)) return null;
  const x = Math.round(Math.max(1, Math.min(room - 1, xOf(instant(top.at)))));
  return (
    <>
      <rect class="unread" x={x} width={room - x} height={chartHeight()} />
      <path class="flag-line" d={`M${x} 0V${chartHeight()}`} />
      <path class="flag" d={`M${x - 4} 0H${x + 4}L${x} 5z`} />
    </>
  );
}

function Selection({ drag, xOf }: { drag: { from: number; to: number } | null; xOf: (ms: number) => number }) {
  const held = range.value;
  const [from, to] = drag ? [drag.from, drag.to] : held ? [xOf(held.since), xOf(held.until)] : [0, 0];
  if (from === to) return null;
  return <rect class="selection" x={Math.min(from, to)} width={Math.abs(to - from)} height={chartHeight()} />;
}

function Axis({ start, width, step, room }: { start: number; width: number; step: number; room: number }) {
  const span = width * BINS;
  const every = span <= 300_000 ? 60_000 : span <= 900_000 ? 180_000 : span <= 3_600_000 ? 600_000 : span / 6;
  const marks: { x: number; words: string }[] = [];
  for (let at = Math.ceil(start / every) * every; at < start + span; at += every) {
    const x = ((at - start) / width) * step;
    if (x > 18 && x < room - 48) marks.push({ x, words: clockMinutes(at) });
  }
  return (
    <div class="axis" aria-hidden="true">
      {marks.map(({ x, words }) => (
        <span key={words} style={{ left: `${x}px` }}>
          {words}
        </span>
      ))}
      <span class="axis-now">now</span>
    </div>
  );
}

/** The same for readers: five stretches of time in words. */
function Table({ start, list, width }: { start: number; list: readonly Bin[]; width: number }) {
  const parts = 5;
  const each = BINS / parts;
  return (
    <div class="unseen">
      <table>
        <caption>Events over time</caption>
        <tbody>
          {Array.from({ length: parts }, (_, part) => {
            const [wrong, attention, other] = sums(list.slice(part * each, (part + 1) * each));
            const from = start + part * each * width;
            return (
              <tr key={part}>
                <th scope="row">
                  {clock(from)} to {clock(from + each * width)}
                </th>
                <td>{many(wrong + attention + other, "event")}</td>
                <td>{number(wrong)} failed</td>
                <td>{number(attention)} refused or abandoned</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
