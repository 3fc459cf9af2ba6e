// A line of a transcript: what was said, what was refused, tool calls in a fold, an expectation that was not kept.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { api, troubleOf } from "../../base/api.ts";
import type { CallView, ChannelView, LineView } from "../../base/boards.ts";
import { clock, duration, many, number, visible, whole } from "../../base/format.ts";
import { agentColour } from "../../base/kinds.ts";
import type { Json, Outcome } from "../../base/wire.ts";
import { OutcomeSign, Sign } from "../../parts/Sign.tsx";
import { callWords } from "../agents/Card.tsx";
import { namesOf } from "./Entry.tsx";
import { eventLink } from "./eventLink.ts";

export interface LineProps {
  line: LineView;
  channel: ChannelView;
  /** To stand above it; empty: no time does. */
  time: string;
  isOpen: boolean;
  onFold: () => void;
}

export function Line(props: LineProps) {
  const { line, time } = props;
  return (
    <>
      {time && (
        <li class="talk-rule quiet">
          <span>{time}</span>
        </li>
      )}
      {line.sort === "said" ? (
        <Said line={line} />
      ) : line.sort === "calls" ? (
        <Calls {...props} />
      ) : (
        <Note line={line} />
      )}
    </>
  );
}

function Time({ at }: { at: string }) {
  return (
    <time class="quiet talk-time" dateTime={at} title={whole(at)}>
      {clock(at)}
    </time>
  );
}

/** How the recipients took it: a tick and how long that was, or how many of them have. */
function Acks({ line }: { line: LineView }) {
  if (line.failed > 0) {
    return (
      <span class="wrong talk-acks" title="A recipient did not get it, or gave it up">
        <OutcomeSign outcome="failed" /> {`${number(line.failed)} of ${number(line.recipients)} not reached`}
      </span>
    );
  }
  if (line.acked === 0) return null;
  const all = line.acked >= line.recipients;
  const took =
    line.acked_seconds === null || line.acked_seconds === undefined ? "" : duration(line.acked_seconds * 1000);
  return (
    <span class="quiet talk-acks" title={`${number(line.acked)} of ${number(line.recipients)} have acknowledged it`}>
      <Sign name="ok" size={12} label="acknowledged" />
      {all && line.recipients <= 1 ? took : `${number(line.acked)} of ${number(line.recipients)}`}
    </span>
  );
}

/** `**this**` is how models make words strong. */
function withStrong(text: string): ComponentChildren {
  return visible(text)
    .split(/\*\*([^*\n]{1,200})\*\*/)
    .map((part, index) => (index % 2 ? <b key={`${index} ${part}`}>{part}</b> : part));
}

const CUT = 199;

/** What was said; the board has its beginning, the log the rest. */
function Text({ line }: { line: LineView }) {
  const [text, setText] = useState<string | null>(null);
  const [trouble, setTrouble] = useState("");
  const isCut = line.text.length >= CUT && line.text.endsWith("…") && text === null;
  const read = async () => {
    try {
      setText(saidIn((await api.event(line.seq)).event?.content ?? null));
      setTrouble("");
    } catch (error) {
      setTrouble(troubleOf(error).message);
    }
  };
  return (
    <p class="talk-text">
      {withStrong(text ?? line.text)}
      {isCut && (
        <>
          {" "}
          <button type="button" class="link" onClick={() => void read()}>
            Read all
          </button>
        </>
      )}
      {trouble && <span class="wrong"> {trouble}</span>}
    </p>
  );
}

function saidIn(content: Json): string {
  if (typeof content === "string") return content;
  if (content !== null && typeof content === "object" && !Array.isArray(content) && typeof content.text === "string")
    return content.text;
  return JSON.stringify(content, null, 2);
}

function Said({ line }: { line: LineView }) {
  const to = namesOf(line.to, Math.max(line.to.length, line.to.length >= 8 ? line.recipients : 0));
  return (
    <li class={`talk-said agent-${agentColour(line.agent)}`}>
      <p class="talk-who">
        <a class="cut" data-stop {...eventLink(line.seq)} title={visible(line.agent)}>
          <b>{visible(line.agent) || "the hub"}</b>
        </a>
        {to && (
          <span class="second cut talk-to" title={to}>
            <Sign name="arrow" size={12} label="to" /> {to}
          </span>
        )}
        <span class="space" />
        <Acks line={line} />
        <Time at={line.at} />
      </p>
      <Text line={line} />
    </li>
  );
}

function Note({ line }: { line: LineView }) {
  const isWrong = line.sort === "violated";
  const isRefused = line.sort === "rejected";
  const tone = isWrong ? "wrong" : isRefused ? "attention" : "second";
  return (
    <li class="talk-note">
      {isWrong ? (
        <OutcomeSign outcome="late" />
      ) : isRefused ? (
        <OutcomeSign outcome="refused" />
      ) : (
        <Sign name="channel" class="family-talk" size={14} />
      )}
      <a
        class={`wrapped ${tone}`}
        data-stop
        data-wrong={isWrong || isRefused ? "" : undefined}
        {...eventLink(line.seq)}
      >
        <NoteWords line={line} />
      </a>
      <Time at={line.at} />
    </li>
  );
}

function NoteWords({ line }: { line: LineView }) {
  const names = namesOf(line.to, Math.max(line.to.length, line.sort === "violated" ? 0 : line.recipients));
  if (line.sort === "violated") {
    return (
      <>
        <b>{visible(line.text)}</b> not kept{names ? `: ${names}` : ""}
      </>
    );
  }
  if (line.sort === "rejected") {
    return (
      <>
        <b>{visible(line.agent)}</b> was refused: {visible(line.text)}
      </>
    );
  }
  return (
    <>
      <b>{names}</b> {line.sort}
    </>
  );
}

function toolNames(line: LineView): string {
  return Object.entries(line.calls)
    .map(([tool, count]) => (count > 1 ? `${visible(tool)} ×${number(count)}` : visible(tool)))
    .join(", ");
}

function Calls({ line, isOpen, onFold }: LineProps) {
  const took = line.items.reduce((sum, call) => sum + (call.seconds ?? 0), 0);
  const names = toolNames(line);
  return (
    <li class="talk-calls">
      <button
        type="button"
        class="talk-fold"
        data-stop
        data-wrong={line.failed ? "" : undefined}
        aria-expanded={isOpen}
        onClick={onFold}
      >
        <Sign name={isOpen ? "down" : "right"} size={12} class="tone-text-2" />
        <Sign name="tool" class="family-tool" size={14} />
        <b>{many(line.recipients, "tool call")}</b>
        <span class="second cut" title={names}>
          {names}
        </span>
        <span class="space" />
        {line.failed > 0 && <b class="wrong">{`${number(line.failed)} failed`}</b>}
        {took > 0 && <span class="quiet">{duration(took * 1000)}</span>}
      </button>
      {isOpen && (
        <ol>
          {line.items.map((call) => (
            <Call key={call.seq} call={call} />
          ))}
          {line.recipients > line.items.length && (
            <li class="quiet talk-call">{`${number(line.recipients - line.items.length)} more, in the log`}</li>
          )}
        </ol>
      )}
    </li>
  );
}

function Call({ call }: { call: CallView }) {
  const words = visible(callWords(call.tool, call.arguments));
  const name = visible(call.tool);
  const tone = call.outcome === "failed" ? "wrong" : "attention";
  return (
    <li>
      <a class="talk-call" {...eventLink(call.seq)}>
        <OutcomeSign outcome={call.outcome as Outcome} />
        <span class={call.detail ? "cut talk-call-name" : "cut talk-call-alone"} title={words}>
          <b class="named">{name}</b>
          <span class="second">{words.slice(name.length)}</span>
        </span>
        {call.detail && (
          <span class={`cut talk-call-error ${tone}`} title={visible(call.detail)}>
            {visible(call.detail)}
          </span>
        )}
        <span class="quiet talk-time">
          {call.seconds === null || call.seconds === undefined ? "" : duration(call.seconds * 1000)}
        </span>
      </a>
    </li>
  );
}
