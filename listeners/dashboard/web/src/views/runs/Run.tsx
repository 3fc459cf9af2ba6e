// A run: one line with its turns in small; opened, its waterfall below.

import { useRef } from "preact/hooks";
import { useBoardOne } from "../../base/board.ts";
import type { RunView, Waterfall } from "../../base/boards.ts";
import { now } from "../../base/clock.ts";
import { clock, coarse, duration, instant, many, number, visible, whole } from "../../base/format.ts";
import { href } from "../../base/router.ts";
import { Unread } from "../../parts/Notes.tsx";
import { OutcomeSign, Sign, StateSign } from "../../parts/Sign.tsx";
import { useWidth } from "../arranged.ts";
import { Hatches } from "./Hatches.tsx";
import { hasFailed, isWaiting } from "./order.ts";
import { Plot } from "./Plot.tsx";
import type { By } from "./spans.ts";

interface RunProps {
  run: RunView;
  by: By;
  isOpen: boolean;
  onToggle: () => void;
}

/** How long a run took, or is open by now, in milliseconds. */
export function tookMs(run: RunView): number | null {
  if (run.open) return Math.max(0, now.value - instant(run.started_at));
  return run.seconds === null || run.seconds === undefined ? null : run.seconds * 1000;
}

export function tookWords(run: RunView): string {
  const ms = tookMs(run);
  if (ms === null) return "–";
  return ms < 10_000 && !run.open ? duration(ms) : coarse(ms);
}

export function runTitle(run: RunView): string {
  return visible(run.title) || visible(run.run_id);
}

function outcomeOf(run: RunView): "open" | "failed" | "abandoned" | "ok" {
  if (run.open) return "open";
  if (hasFailed(run)) return "failed";
  return run.state === "abandoned" ? "abandoned" : "ok";
}

function State({ run }: { run: RunView }) {
  if (isWaiting(run)) {
    return (
      <a class="named" href={href("approvals")}>
        waits for a person
      </a>
    );
  }
  return <span class={run.open ? "accent named" : "quiet"}>{run.open ? "open" : "ended"}</span>;
}

function Troubles({ run }: { run: RunView }) {
  const parts = [run.failed && `${number(run.failed)} failed`, run.abandoned && `${number(run.abandoned)} abandoned`];
  const words = parts.filter(Boolean).join(", ");
  return words ? (
    <span class={hasFailed(run) && !run.open ? "run-troubles wrong" : "run-troubles second"}>{words}</span>
  ) : null;
}

export function Run({ run, by, isOpen, onToggle }: RunProps) {
  const spans = run.turns + run.calls + run.tasks;
  const title = runTitle(run);
  return (
    <li class={isOpen ? "run run-is-open" : "run"}>
      <div class="run-line">
        <button type="button" class="run-head" data-stop aria-expanded={isOpen} onClick={onToggle}>
          <Sign name={isOpen ? "down" : "right"} size={12} class="tone-text-2" />
          {isWaiting(run) ? (
            <StateSign state="waits_for_person" label="Waits for a person" />
          ) : (
            <OutcomeSign outcome={outcomeOf(run)} />
          )}
          <span class={isOpen ? "cut run-title run-title-open" : "cut run-title"} title={title}>
            {title}
          </span>
          <span class="space" />
          <span class="quiet run-spans">{many(spans, "span")}</span>
        </button>
        <div class="run-small">
          {isOpen ? <State run={run} /> : <Small run={run} />}
          <Troubles run={run} />
          {isOpen && <span class="space" />}
          <time class="quiet run-at" dateTime={run.started_at} title={whole(run.started_at)}>
            {clock(run.started_at)}
          </time>
          <span class="run-took">{tookWords(run)}</span>
        </div>
      </div>
      {isOpen && <Opened run={run} by={by} />}
    </li>
  );
}

function Opened({ run, by }: { run: RunView; by: By }) {
  const reading = useBoardOne<Waterfall>("runs", run.run_id);
  if (reading.data === null) return <Unread reading={reading} what="the parts of this run" />;
  return <Plot waterfall={reading.data} by={by} />;
}

const HEIGHT = 12;

/** The turns of a run in small. */
function Small({ run }: { run: RunView }) {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box, 560);
  const total = Math.max((tookMs(run) ?? 0) / 1000, 0.001);
  const x = (seconds: number) => Math.min(1, seconds / total) * (width - 4) + 1;
  const id = `small-${run.run_id.replace(/\W/g, "_")}`;
  const label = [many(run.turns, "turn"), run.failed && `${number(run.failed)} failed`].filter(Boolean).join(", ");
  return (
    <div class="run-bars" ref={box}>
      <svg class="bars" width={width} height={HEIGHT + 2} role="img" aria-label={label}>
        {run.open > 0 && <Hatches id={id} />}
        {run.bars.map((bar, index) => {
          const left = x(bar.start);
          const wide = Math.max(3, x(bar.start + (bar.seconds ?? total - bar.start)) - left - 1);
          const at = { x: left, y: 2.5, width: wide, height: HEIGHT - 3, rx: 1.5 };
          return (
            <g key={`${bar.start} ${index}`}>
              <rect class={bar.outcome === "abandoned" ? "bar-turn bar-gone" : "bar-turn"} {...at} />
              {bar.seconds === null || bar.seconds === undefined ? <rect {...at} fill={`url(#${id}-work)`} /> : null}
            </g>
          );
        })}
        {run.failures.map((at, index) => (
          <rect key={`${at} ${index}`} class="bar-failed" x={x(at) - 2} y={1} width={3} height={HEIGHT} />
        ))}
      </svg>
    </div>
  );
}
