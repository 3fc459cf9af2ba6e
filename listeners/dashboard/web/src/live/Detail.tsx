// The drawer of an event: what happened in a sentence, facts, what it is linked with, and all there is as JSON.

import { api, placeOf } from "../base/api.ts";
import { useReading } from "../base/board.ts";
import { clock, duration, instant, many, number, visible, whole } from "../base/format.ts";
import { goView, href } from "../base/router.ts";
import type { Detail as EventDetail, Json, Row } from "../base/wire.ts";
import { Drawer, DrawerTitle, PartTitle } from "../frame/Drawer.tsx";
import { useKeys } from "../frame/keys.ts";
import { CopyButton, copy } from "../parts/Empty.tsx";
import { JsonTree } from "../parts/JsonTree.tsx";
import { HiddenNote, Unread } from "../parts/Notes.tsx";
import { sourcesOf } from "../parts/Provenance.tsx";
import { Age, AgentName, Button, Facts } from "../parts/parts.tsx";
import { KindSign, OutcomeSign } from "../parts/Sign.tsx";
import { tick } from "../stream/state.ts";

export interface DetailProps {
  seq: number;
  /** What the list knows of it already: it is shown while the rest comes. */
  row: Row | null;
  onClose: () => void;
  onSeq: (seq: number) => void;
  onContext: (row: Row) => void;
}

export function Detail({ seq, row: known, onClose, onSeq, onContext }: DetailProps) {
  const called = seq < 0 ? `record ${number(placeOf(seq))}` : `#${number(seq)}`;
  const reading = useReading<EventDetail>(`event ${seq}`, (signal) => api.event(seq, signal), { once: true });
  const detail = reading.data;
  const row = detail?.row ?? known;
  const json = () => jsonOf(detail?.event ?? null);
  useKeys({
    y: () => (detail?.event ? void copy(json()) : false),
    c: () => (row ? onContext(row) : false),
  });
  const head = (
    <>
      {row && <KindSign kind={row.kind} size={16} />}
      <DrawerTitle>{row ? visible(row.kind) : "Event"}</DrawerTitle>
      <span class="quiet">{called}</span>
    </>
  );
  return (
    <Drawer label={seq < 0 ? called : `Event ${seq}`} head={head} onClose={onClose} moves>
      {row && <Sentence row={row} event={detail?.event ?? null} />}
      {row && <What row={row} event={detail?.event ?? null} />}
      {!detail && <Unread reading={reading} what={seq < 0 ? called : `event ${called}`} />}
      {row && <Links row={row} detail={detail} onSeq={onSeq} onContext={onContext} />}
      {detail?.contents === "hidden" && <HiddenNote />}
      {detail?.event && (
        <section class="drawer-part">
          <header class="part-head">
            <PartTitle>JSON</PartTitle>
            <CopyButton text={json} hotkey="y" />
          </header>
          <JsonTree key={seq} value={detail.event} label="The event as JSON" />
        </section>
      )}
    </Drawer>
  );
}

/** The record with its keys sorted; as it came, where it is too deep to be sorted. */
function jsonOf(event: Fields): string {
  try {
    return JSON.stringify(sorted(event), null, 2);
  } catch {
    try {
      return JSON.stringify(event);
    } catch {
      return "";
    }
  }
}

function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key] as Json)]),
  );
}

type Fields = { [key: string]: Json } | null;

function textOf(event: Fields, ...keys: string[]): string {
  for (const key of keys) {
    const value = event?.[key];
    if (typeof value === "string" && value) return value;
  }
  return "";
}

const ENDS: Record<string, string> = {
  failed: "failed",
  refused: "was refused",
  denied: "was denied",
  expired: "expired",
  abandoned: "was abandoned",
  late: "was not kept",
};

/** What happened: the subject and its end, then the error or the words in full. */
function Sentence({ row, event }: { row: Row; event: Fields }) {
  const end = row.outcome ? ENDS[row.outcome] : undefined;
  const subject = textOf(event, "tool", "model", "action", "name", "expectation", "listener");
  const error = textOf(event, "error_message", "error", "reason", "detail");
  const words = visible(row.words ?? "");
  const tone = row.meaning === "wrong" ? "wrong" : row.meaning === "attention" ? "attention" : "";
  if (!end || !subject) {
    return (
      <section class="drawer-part sentence">
        {row.outcome && <OutcomeSign outcome={row.outcome} />}
        <p class={tone}>{words || visible(row.kind)}</p>
      </section>
    );
  }
  return (
    <section class="drawer-part sentence">
      {row.outcome && <OutcomeSign outcome={row.outcome} />}
      <div>
        <p class={tone}>
          <b>
            {visible(subject)} {end}
            {row.took_ms !== undefined && ` after ${duration(row.took_ms)}`}
          </b>
        </p>
        <p>{visible(error) || words}</p>
      </div>
    </section>
  );
}

function What({ row, event }: { row: Row; event: Fields }) {
  const call = textOf(event, "call_id");
  const happened = row.occurred_at && row.occurred_at !== row.at ? row.occurred_at : null;
  return (
    <section class="drawer-part">
      <Facts
        rows={[
          [
            "Time",
            <span key="time" title={whole(row.at)}>
              {clock(row.at, true)}{" "}
              <span class="quiet">
                <Age at={row.at} />
              </span>
            </span>,
          ],
          ["Happened", happened && <span title={whole(happened)}>{clock(happened, true)}</span>],
          ["Agent", row.agent && <AgentName name={row.agent} />],
          [
            "Channel",
            row.channel_id && <a href={href("channels", row.channel_id)}>{visible(row.channel || row.channel_id)}</a>,
          ],
          ["Task", row.task_id && <a href={href("live", "", { task: [row.task_id] })}>{visible(row.task_id)}</a>],
          ["Turn", row.turn_id && <a href={href("live", "", { turn: [row.turn_id] })}>{visible(row.turn_id)}</a>],
          ["Tenant", row.tenant && visible(row.tenant)],
          ["Comes from", row.provenance && `${sourcesOf(row.provenance)}, as who sent it says`],
          ["Took", row.took_ms !== undefined && duration(row.took_ms)],
          ["Call", call && <code>{visible(call)}</code>],
        ]}
      />
    </section>
  );
}

interface LinksProps {
  row: Row;
  detail: EventDetail | null;
  onSeq: (seq: number) => void;
  onContext: (row: Row) => void;
}

function Links({ row, detail, onSeq, onContext }: LinksProps) {
  const linked = detail?.linked;
  const run = linked?.run_id ?? row.run_id;
  return (
    <section class="drawer-part">
      <PartTitle>Linked</PartTitle>
      <Facts
        rows={[
          ["Caused by", linked?.caused_by && <Other row={linked.caused_by} onSeq={onSeq} />],
          ["Answers", linked?.answers && <Other row={linked.answers} onSeq={onSeq} words />],
          [
            "Correlation",
            row.correlation && (
              <a href={href("live", "", { correlation: [row.correlation] })}>
                {linked?.correlation_events ? many(linked.correlation_events, "event") : visible(row.correlation)}
              </a>
            ),
          ],
        ]}
      />
      <p class="buttons">
        <Button hotkey="c" onClick={() => onContext(row)}>
          Show in context
        </Button>
        {run && <Button onClick={() => goView("runs", run)}>Open run</Button>}
      </p>
    </section>
  );
}

function Other({ row, words, onSeq }: { row: Row; words?: boolean; onSeq: (seq: number) => void }) {
  return (
    <span class="other">
      <KindSign kind={row.kind} />
      <Button look="plain" onClick={() => onSeq(row.seq)}>{`#${number(row.seq)}`}</Button>
      <span class="cut" title={visible(row.words ?? "")}>
        {words && row.words ? visible(row.words) : visible(row.kind)}
      </span>
    </span>
  );
}

/** Around an event: a quarter of a minute before and after it, and less where so much happens that it would be cut. */
export function around(row: Row): { since: string; until: string } {
  const at = instant(row.at);
  const rate = Math.max(1, tick.peek()?.hub.events_per_second ?? 1);
  const span = Math.min(15_000, Math.max(100, 300_000 / rate));
  return { since: new Date(at - span).toISOString(), until: new Date(at + span).toISOString() };
}
