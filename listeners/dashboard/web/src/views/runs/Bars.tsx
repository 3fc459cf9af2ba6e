// The bars of a waterfall, the arrows between them, and the bands in which the hub was away.

import type { RestartView, SpanView } from "../../base/boards.ts";
import { age, coarse, duration, instant, visible } from "../../base/format.ts";
import { type Bar, labelOf, type Over, place, type Scale, ticksOf } from "./geometry.ts";
import { Hatches } from "./Hatches.tsx";

interface BarsProps {
  id: string;
  width: number;
  height: number;
  bars: readonly Bar[];
  arrows: readonly Over[];
  restarts: readonly RestartView[];
  scale: Scale;
  /** Milliseconds since 1970 while the run is open. */
  now: number | null;
  onPress: (span: SpanView) => void;
}

const TONES: Record<string, string> = { turn: "work", task: "work", model: "model", tool: "tool" };

export function Bars({ id, width, height, bars, arrows, restarts, scale, now, onPress }: BarsProps) {
  const end = scale.left + scale.width;
  return (
    // The rows beside it say the same in words; a bar is a second way to their events.
    <svg class="bars" width={width} height={height} aria-hidden="true">
      <Hatches id={id} />
      {ticksOf(scale).map((tick) => (
        <line key={tick.words} class="bar-grid" x1={tick.x} x2={tick.x} y1={0} y2={height} />
      ))}
      {restarts.map((each) => {
        const left = place(scale, instant(each.down_at));
        const wide = Math.max(4, place(scale, instant(each.up_at)) - left);
        return (
          <g key={each.up_at}>
            <rect x={left} y={0} width={wide} height={height} fill={`url(#${id}-restart)`} />
            <path class="restart-edge" d={`M${left} 0V${height}M${left + wide} 0V${height}`} />
          </g>
        );
      })}
      {now !== null && <line class="bar-now" x1={end} x2={end} y1={0} y2={height} />}
      {bars.map((bar) => (
        <OneBar key={bar.row.span.number} id={id} bar={bar} onPress={onPress} />
      ))}
      {arrows.map((arrow) => (
        <g key={arrow.key}>
          {arrow.words && <title>{visible(arrow.words)}</title>}
          <path class="bar-arrow" d={arrow.path} />
          <path class="bar-arrow" d={arrow.head} />
        </g>
      ))}
      {bars.map((bar) => (
        <Words key={bar.row.span.number} bar={bar} arrows={arrows} width={width} now={now} />
      ))}
    </svg>
  );
}

/** A torn end: what was abandoned has none. */
function torn(left: number, right: number, top: number, bottom: number): string {
  const step = (bottom - top) / 4;
  const inner = right - 3;
  return `M${left} ${top}H${right}L${inner} ${top + step}L${right} ${top + 2 * step}L${inner} ${top + 3 * step}L${right} ${bottom}H${left}Z`;
}

function OneBar({ id, bar, onPress }: { id: string; bar: Bar; onPress: (span: SpanView) => void }) {
  const { span } = bar.row;
  const family = TONES[span.family] ?? "work";
  const isTurn = family === "work";
  const top = bar.y - bar.height / 2;
  const box = { x: bar.left, y: top, width: bar.right - bar.left, height: bar.height, rx: 2 };
  const isOpen = span.outcome === "open";
  const look = isTurn
    ? "bar-turn"
    : isOpen || span.outcome === "abandoned"
      ? `bar-pale bar-${family}`
      : `bar-solid bar-${family}`;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the row beside it is the button, and leads there, too
    <g class="bar-press" onClick={() => onPress(span)}>
      {span.outcome === "abandoned" ? (
        <path class={look} d={torn(bar.left, bar.right, top, top + bar.height)} />
      ) : (
        <rect class={look} {...box} />
      )}
      {isOpen && <rect {...box} fill={`url(#${id}-${family})`} />}
      {span.outcome === "failed" && (
        <rect class="bar-failed" x={bar.right - 2} y={top - 1} width={3} height={bar.height + 2} />
      )}
      <rect class="bar-target" x={bar.left - 4} y={bar.y - 11} width={bar.right - bar.left + 8} height={22} />
    </g>
  );
}

function wordsOf(span: SpanView): string {
  const took = span.seconds === null || span.seconds === undefined ? "" : duration(span.seconds * 1000);
  if (span.outcome === "failed") return visible(span.detail).replace(/\s+/g, " ").trim() || took || "failed";
  if (span.outcome === "abandoned") {
    const why = visible(span.detail).replace(/\s+/g, " ").trim();
    return why ? `abandoned: ${why}` : `abandoned after ${took}`;
  }
  return took;
}

/** The words of a bar, and shorter ones for where there is less room. */
function textsOf(span: SpanView, now: number | null): string[] {
  if (span.outcome !== "open") {
    const all = wordsOf(span);
    return [all.length > WORDS_MAX ? `${all.slice(0, WORDS_MAX - 1)}…` : all];
  }
  const ms = now === null ? Number.NaN : now - instant(span.started_at);
  return Number.isNaN(ms) ? ["open"] : [`${coarse(ms)}, open`, coarse(ms), age(ms)];
}

const WORDS_MAX = 64;

interface WordsProps {
  bar: Bar;
  arrows: readonly Over[];
  width: number;
  now: number | null;
}

function Words({ bar, arrows, width, now }: WordsProps) {
  const { span } = bar.row;
  const label = labelOf(bar, textsOf(span, now), arrows, { left: 2, right: width - 4 });
  if (!label) return null;
  const tone =
    span.outcome === "failed" ? "words-wrong" : span.outcome === "abandoned" ? "words-attention" : "words-took";
  return (
    <text class={`bar-words ${tone}`} x={label.x} y={bar.y + 4} text-anchor={label.anchor}>
      {label.text}
      {span.detail && <title>{visible(span.detail)}</title>}
    </text>
  );
}
