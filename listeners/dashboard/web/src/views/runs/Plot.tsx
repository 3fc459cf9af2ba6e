// The waterfall of a run: a row a turn, model or tool; bars over time beside them.

import { useMemo, useRef } from "preact/hooks";
import type { SpanView, Waterfall } from "../../base/boards.ts";
import { now } from "../../base/clock.ts";
import { clock, coarse, duration, instant, many, number, visible } from "../../base/format.ts";
import { goView, param, paramAll, setParams } from "../../base/router.ts";
import { isNarrow } from "../../base/screen.ts";
import type { Outcome } from "../../base/wire.ts";
import { AgentName } from "../../parts/parts.tsx";
import { OutcomeSign, Sign } from "../../parts/Sign.tsx";
import { callWords, FamilySign } from "../agents/Card.tsx";
import { toggled, useWidth } from "../arranged.ts";
import { textOf, Unless } from "../Unless.tsx";
import { Bars } from "./Bars.tsx";
import { arrowsOf, barsOf, endOf, type Scale, ticksOf } from "./geometry.ts";
import { type By, type Row, rowsOf } from "./spans.ts";

const RIGHT = 8;
/** Of a telephone, where the sign of a row stands. */
const SIGN = 26;
const LABELS = 84;

export function Plot({ waterfall, by }: { waterfall: Waterfall; by: By }) {
  const { run, spans, hand_overs, restarts } = waterfall;
  const area = useRef<HTMLDivElement>(null);
  const width = useWidth(area, 860);
  const folded = paramAll("fold").join(" ");
  const rows = useMemo(() => rowsOf(spans, by, new Set(folded.split(" "))), [spans, by, folded]);
  const chosen = param("span");
  const isHere = chosen.endsWith(`@${run.run_id}`);
  // Each second only the bars move: the rows beside them stay as they are.
  const list = useMemo(
    () => (
      <ol>
        {rows.map((row) => (
          <Unless
            key={row.span.number}
            same={`${isHere && chosen === `${row.span.number}@${run.run_id}`} ${row.level} ${row.inside} ${row.isFolded} ${textOf(row.span)}`}
          >
            {() => (
              <RowLine
                row={row}
                isChosen={isHere && chosen === `${row.span.number}@${run.run_id}`}
                onOpen={() => setParams({ span: `${row.span.number}@${run.run_id}` })}
                onFold={() => setParams({ fold: toggled(paramAll("fold"), `${row.span.number}`) })}
              />
            )}
          </Unless>
        ))}
      </ol>
    ),
    [rows, isHere ? chosen : "", run.run_id],
  );
  const begun = Math.min(...spans.map((span) => instant(span.started_at)));
  // What has ended does not move.
  const moment = run.open ? now.value : now.peek();
  const until = run.open ? moment : Math.max(...spans.map((span) => endOf(span, moment, restarts)));
  const narrow = isNarrow.value;
  const measures = narrow ? { rowHeight: 44, middle: 30 } : { rowHeight: 24, middle: 12 };
  const left = narrow ? 2 : 16;
  // What has ended leaves room for the words of its last bar.
  const rest = narrow ? SIGN : run.open ? RIGHT : LABELS;
  const scale: Scale = { from: begun, to: Math.max(until, begun + 1), left, width: Math.max(60, width - left - rest) };
  const bars = barsOf(rows, scale, { now: moment, restarts }, measures);
  const arrows = arrowsOf(hand_overs, bars);
  return (
    <div class="waterfall">
      <Axis scale={scale} isOpen={run.open > 0} />
      <div class="waterfall-rows">
        {list}
        <div class="waterfall-area" ref={area}>
          <Bars
            id={`run-${run.run_id.replace(/\W/g, "_")}`}
            width={width}
            height={rows.length * measures.rowHeight}
            bars={bars}
            arrows={arrows}
            restarts={restarts}
            scale={scale}
            now={run.open ? moment : null}
            onPress={(span) => goView("live", "", liveParams(span))}
          />
        </div>
      </div>
      <Below waterfall={waterfall} begun={begun} />
    </div>
  );
}

/** What Live shows of a bar: the events of its turn; of what is in none, the one that began it. */
export function liveParams(span: SpanView): Record<string, string[]> {
  if (span.family === "task" && span.task_id) return { task: [span.task_id] };
  const sel = { sel: [`${span.started_seq}`] };
  if (span.turn_id) return span.family === "turn" ? { turn: [span.turn_id] } : { turn: [span.turn_id], ...sel };
  return sel;
}

/** What a span is called: of a call its name and arguments, of a turn what it handles. */
export function spanWords(span: SpanView): string {
  if (span.family === "turn") return visible(span.preview);
  if (span.family === "tool") return visible(callWords(span.name, span.preview));
  return visible(span.name);
}

interface RowLineProps {
  row: Row;
  isChosen: boolean;
  onOpen: () => void;
  onFold: () => void;
}

/** For how long, how it ended: what readers hear, who do not see the bar. */
function toldWords(span: SpanView): string {
  const isOver = span.outcome !== "open" && span.seconds !== null && span.seconds !== undefined;
  const took = isOver ? duration((span.seconds ?? 0) * 1000) : "";
  const words = [`began at ${clock(span.started_at)}`, took && `took ${took}`, span.outcome, visible(span.detail)];
  return words.filter(Boolean).join(", ");
}

function RowLine({ row, isChosen, onOpen, onFold }: RowLineProps) {
  const { span, level, inside, isFolded } = row;
  const words = spanWords(span);
  const isTurn = span.family === "turn" || span.family === "task";
  return (
    <li class={isChosen ? "span-row span-chosen" : "span-row"}>
      <div class="span-name" style={{ paddingLeft: `${Math.min(level, 6) * 20}px` }}>
        {inside > 0 ? (
          <button
            type="button"
            class="span-fold"
            tabIndex={-1}
            aria-expanded={!isFolded}
            aria-label={`${number(inside)} inside`}
            onClick={onFold}
          >
            <Sign name={isFolded ? "right" : "down"} size={12} class="tone-text-2" />
          </button>
        ) : (
          <span class="span-fold" />
        )}
        <button
          type="button"
          class="span-open"
          data-stop
          aria-current={isChosen ? "true" : undefined}
          title={`${visible(span.agent)} ${words}`}
          onClick={onOpen}
        >
          <FamilySign family={span.family} label={span.family} />
          {isTurn && span.agent && <AgentName name={span.agent} strong />}
          <span class={isTurn ? "cut second" : "cut"}>{words}</span>
          <span class="unseen">, {toldWords(span)}</span>
          <span class="space" />
          {span.outcome !== "ok" && <OutcomeSign outcome={span.outcome as Outcome} />}
        </button>
      </div>
    </li>
  );
}

function Axis({ scale, isOpen }: { scale: Scale; isOpen: boolean }) {
  const ticks = ticksOf(scale);
  const end = scale.left + scale.width;
  return (
    <div class="waterfall-axis" aria-hidden="true">
      <div>
        {ticks.map((tick, index) =>
          isOpen && tick.x > end - 60 ? null : (
            <span key={tick.words} class={index ? "tick" : "tick tick-first"} style={{ left: `${tick.x}px` }}>
              {tick.words}
            </span>
          ),
        )}
        {isOpen && (
          <b class="tick tick-now accent" style={{ left: `${end}px` }}>
            now
          </b>
        )}
      </div>
    </div>
  );
}

/** Below the bars: what a restart did, and what is not shown. */
function Below({ waterfall, begun }: { waterfall: Waterfall; begun: number }) {
  const { run, restarts, spans } = waterfall;
  const tokens = run.input_tokens + run.output_tokens;
  const abandoned = spans.some((span) => span.outcome === "abandoned");
  return (
    <div class="waterfall-below">
      {restarts.map((each) => (
        <p key={each.up_at}>
          <svg class="bars" width="12" height="12" aria-hidden="true">
            <rect class="restart-box" x="0.5" y="0.5" width="11" height="11" />
            <path class="restart-line" d="M1 11L11 1M1 6L6 1M6 11L11 6" />
          </svg>
          {`The hub was ${each.was_stopped ? "stopped" : "killed"} after +${since(each.down_at, begun)} and was back at +${since(each.up_at, begun)}.${abandoned ? " What was open is abandoned; envelopes without an ack came again." : ""}`}
        </p>
      ))}
      {run.not_shown > 0 && (
        <p>{`${many(run.not_shown, "earlier part")} of this run not shown here: the log has them.`}</p>
      )}
      {tokens > 0 && <p class="quiet">{`${number(run.input_tokens)} tokens in, ${number(run.output_tokens)} out`}</p>}
    </div>
  );
}

function since(at: string, begun: number): string {
  const ms = Math.max(0, instant(at) - begun);
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : coarse(ms);
}
