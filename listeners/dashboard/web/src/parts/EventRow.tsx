// A row of events, as Live and Log have it: eight cells in a line, or, on a narrow page, two lines.

import type { ComponentChildren } from "preact";
import { now } from "../base/clock.ts";
import { age, clock, duration, instant, number, visible, whole } from "../base/format.ts";
import { agentColour } from "../base/kinds.ts";
import { isNarrow } from "../base/screen.ts";
import { times } from "../base/settings.ts";
import type { Row } from "../base/wire.ts";
import { Provenance } from "./Provenance.tsx";
import { Button } from "./parts.tsx";
import { KindSign, OutcomeSign, Sign } from "./Sign.tsx";

export const ROW_HEIGHT = 24;
export const NARROW_ROW_HEIGHT = 52;
export const GAP_HEIGHT = 28;

export function rowHeight(): number {
  return isNarrow.value ? NARROW_ROW_HEIGHT : ROW_HEIGHT;
}

/** The columns: what the classes of their cells end in, and their heads. */
const HEADS = [
  ["time", "Time"],
  ["seq", "Seq"],
  ["kind", "Kind"],
  ["agent", "Agent"],
  ["channel", "Channel"],
  ["words", "What happened"],
  ["outcome", <span class="unseen">Outcome</span>],
  ["took", "Took"],
] as const;

export function EventHeads() {
  return (
    <div role="row" class="row row-head">
      {HEADS.map(([name, words]) => (
        <span key={name} role="columnheader" class={`c-${name}`}>
          {words}
        </span>
      ))}
    </div>
  );
}

interface CellProps {
  of: (typeof HEADS)[number][0];
  class?: string | undefined;
  /** The whole of what may be cut. */
  title?: string;
  children: ComponentChildren;
}

function Cell({ of, class: extra, title, children }: CellProps) {
  return (
    <span role="gridcell" class={extra ? `c-${of} ${extra}` : `c-${of}`} title={title}>
      {children}
    </span>
  );
}

export interface EventRowProps {
  row: Row;
  /** From the top of the list, in pixels; without it the row stands where it is. */
  top?: number;
  index: number;
  isSelected: boolean;
  /** A drawer takes room: time loses its milliseconds, and channel its topic. */
  beside: boolean;
  onOpen: (row: Row) => void;
}

function placed(top: number | undefined) {
  return top === undefined ? {} : { style: { transform: `translateY(${top}px)` } };
}

function Time({ row, beside }: { row: Row; beside: boolean }) {
  const text = times.value === "ago" ? age(now.value - instant(row.at)) : clock(row.at, !beside);
  return <time dateTime={row.at}>{text}</time>;
}

/** `#52`, or with its topic; a channel without a number is known by its topic. */
function channelWords(row: Row, beside: boolean): string {
  const words = visible(row.channel ?? "");
  const short = /^#\S+/.exec(words)?.[0];
  return beside && short ? short : words;
}

/** The colour of the agent that did it; none, if it was none. */
function colourOf(row: Row): string {
  return row.agent_id ? `agent-${agentColour(row.agent ?? "")}` : "";
}

function tone(row: Row): string {
  return row.meaning === "wrong" ? "wrong" : row.meaning === "attention" ? "attention" : "";
}

export function EventRow(props: EventRowProps) {
  const { row, top, index, isSelected, beside, onOpen } = props;
  const agent = row.agent ? visible(row.agent) : "";
  const words = visible(row.words ?? "");
  const shared = {
    role: "row" as const,
    id: `row-${row.seq}`,
    "aria-rowindex": index + 2,
    "aria-selected": isSelected,
    onClick: () => onOpen(row),
    ...placed(top),
  };
  if (isNarrow.value) return <NarrowRow {...props} shared={shared} agent={agent} words={words} />;
  return (
    <div {...shared} class="row">
      <Cell of="time" title={whole(row.at)}>
        <Time row={row} beside={beside} />
      </Cell>
      <Cell of="seq">{row.seq < 0 ? "–" : number(row.seq)}</Cell>
      <Cell of="kind" title={visible(row.kind)}>
        <KindSign kind={row.kind} />
        <span class="cut">{visible(row.kind)}</span>
      </Cell>
      <Cell of="agent" class={`cut ${colourOf(row)}`} title={agent}>
        {agent}
      </Cell>
      <Cell of="channel" class="cut" title={visible(row.channel ?? "")}>
        {channelWords(row, beside)}
      </Cell>
      <Cell of="words" class={`cut ${tone(row)}`} title={words}>
        <Provenance words={row.provenance} />
        {words}
      </Cell>
      <Cell of="outcome">
        <End row={row} />
      </Cell>
      <Cell of="took">{row.took_ms === undefined ? "" : duration(row.took_ms)}</Cell>
    </div>
  );
}

/** How it ended. What is well, and what had not ended then, shows no sign. */
function End({ row }: { row: Row }) {
  if (!row.outcome || row.outcome === "ok" || row.outcome === "open") return null;
  return <OutcomeSign outcome={row.outcome} />;
}

type Shared = Record<string, unknown> & { role: "row" };

function NarrowRow({ row, shared, agent, words }: EventRowProps & { shared: Shared; agent: string; words: string }) {
  const channel = channelWords(row, true);
  return (
    <div {...shared} class={`row row-narrow ${colourOf(row)}`}>
      <span role="gridcell" class="n-head">
        <KindSign kind={row.kind} size={16} />
        <b class="cut" title={agent || visible(row.kind)}>
          {agent || visible(row.kind)}
        </b>
        {agent && (
          <span class="cut quiet n-kind" title={visible(row.kind)}>
            {visible(row.kind)}
          </span>
        )}
        <span class="space" />
        <End row={row} />
        <span class="quiet n-side">
          <span class="cut" title={visible(row.channel ?? "")}>
            {channel}
          </span>
          {channel && <span>·</span>}
          <span>{age(now.value - instant(row.at))}</span>
        </span>
      </span>
      <span role="gridcell" class={`n-words cut ${tone(row)}`} title={words}>
        <Provenance words={row.provenance} />
        {words}
      </span>
    </div>
  );
}

export interface GapLineProps {
  first: number;
  last: number;
  code: string;
  text: string;
  top?: number;
  index: number;
  onRead: () => void;
}

/** The reason alone: a server says before it which events they are. */
export function whyOf(text: string): string {
  return visible(text.replace(/^events [\d,]+ to [\d,]+ are gone: /, ""));
}

/** Events that are not here, and why. */
export function GapLine({ first, last, code, text, top, index, onRead }: GapLineProps) {
  const isHere = code === "behind";
  const events = first === last ? `Event ${number(first)} is` : `Events ${number(first)} to ${number(last)} are`;
  const words = `${events} gone${isHere ? " from this page" : ""}:`;
  const why = whyOf(text);
  return (
    <div role="row" id={`row-${first}`} aria-rowindex={index + 2} class="row-gap" {...placed(top)}>
      <span role="gridcell" class="gap-words" title={`${words} ${why}`}>
        <Sign name="gap" size={14} />
        <span class="gap-text">
          <b>{words}</b> {why}
        </span>
      </span>
      <span role="gridcell">
        {isHere && (
          <Button look="plain" onClick={onRead}>
            {isNarrow.value ? "Read them" : "Read them from the log"}
          </Button>
        )}
      </span>
    </div>
  );
}
