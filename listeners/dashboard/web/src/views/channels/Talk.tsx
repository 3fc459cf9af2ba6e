// What was said in a channel, as people read chats: the newest below.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { api } from "../../base/api.ts";
import { useReading } from "../../base/board.ts";
import type { ChannelView, DoingView, LineView, Transcript } from "../../base/boards.ts";
import { clock, clockMinutes, instant, many, number, visible } from "../../base/format.ts";
import { go, href, param, paramAll, place, setParams } from "../../base/router.ts";
import { useKeys } from "../../frame/keys.ts";
import { Unread } from "../../parts/Notes.tsx";
import { Button, Key, Segmented, Since } from "../../parts/parts.tsx";
import { KindSign, OutcomeSign, Sign } from "../../parts/Sign.tsx";
import { doingWords, FamilySign } from "../agents/Card.tsx";
import { stopsOf, toggled, useStops } from "../arranged.ts";
import { channelName, nameParts, namesOf } from "./Entry.tsx";
import { eventLink } from "./eventLink.ts";
import { Line } from "./Line.tsx";

const SHOWN = [
  ["talk", "Talk"],
  ["events", "All events"],
] as const;
/** After so long a silence the time stands between two lines. */
const PAUSE_MS = 10 * 60_000;
const EVENTS = 300;

/** Keep the newest in sight as long as the reader is at the end; else count what came. */
function useFollowing(count: number) {
  const box = useRef<HTMLDivElement>(null);
  const [isAtEnd, setAtEnd] = useState(true);
  const seen = useRef(count);
  if (isAtEnd) seen.current = count;
  useLayoutEffect(() => {
    const element = box.current;
    if (element && isAtEnd) element.scrollTop = element.scrollHeight;
  }, [count, isAtEnd]);
  const scrolled = () => {
    const element = box.current;
    if (element) setAtEnd(element.scrollHeight - element.scrollTop - element.clientHeight < 24);
  };
  return { box, isAtEnd, newCount: Math.max(0, count - seen.current), scrolled, toEnd: () => setAtEnd(true) };
}

export function Talk({ transcript }: { transcript: Transcript }) {
  const { channel } = transcript;
  const shown = param("show") === "events" ? "events" : "talk";
  return (
    <section class="talk" aria-label={`Channel ${channelName(channel)}`}>
      <TalkHead channel={channel} shown={shown} />
      {shown === "events" ? <AllEvents channel={channel} /> : <Lines transcript={transcript} />}
    </section>
  );
}

function TalkHead({ channel, shown }: { channel: ChannelView; shown: "talk" | "events" }) {
  // Where the list is hidden, this is the title of the page.
  const { number, name } = nameParts(channel);
  const Title = matchMedia("(max-width: 899px)").matches ? "h1" : "h2";
  return (
    <header class="view-head talk-head">
      <Button
        look="sign"
        class="talk-back"
        sign="right"
        label="Back to the list"
        onClick={() => go({ ...place.value, id: "" })}
      />
      <Title class="cut talk-title" title={channelName(channel)}>
        {number && <span class="talk-number">{number}</span>}
        {name}
      </Title>
      {channel.type && <span class="chip talk-type">{visible(channel.type)}</span>}
      <span class="chip talk-state">
        {visible(channel.state)}{" "}
        {channel.ended_at ? <span class="quiet">{clock(channel.ended_at)}</span> : <Since at={channel.created_at} />}
      </span>
      <span class="space" />
      <Button
        class="talk-about"
        pressed={param("about") !== ""}
        onClick={() => setParams({ about: param("about") ? null : "1" })}
      >
        About
      </Button>
      <Segmented
        label="What is shown of the channel"
        choices={SHOWN}
        value={shown}
        onChoose={(value) => setParams({ show: value === "events" ? value : null })}
      />
    </header>
  );
}

function isOpenByItself(line: LineView): boolean {
  return line.sort === "calls" && line.failed > 0;
}

function Lines({ transcript }: { transcript: Transcript }) {
  const { channel, lines, lines_not_shown, doing } = transcript;
  const list = useRef<HTMLOListElement>(null);
  const follow = useFollowing(lines_not_shown + lines.length + doing.length);
  const move = useStops(list);
  const folds = paramAll("fold");
  const nextError = () => {
    const stops = stopsOf(list.current);
    const at = stops.indexOf(document.activeElement as HTMLElement);
    const wrong = (stop: HTMLElement) => stop.dataset.wrong !== undefined;
    (stops.slice(at + 1).find(wrong) ?? stops.find(wrong))?.focus();
  };
  useKeys({
    j: () => (list.current?.contains(document.activeElement) ? move(1) : false),
    k: () => (list.current?.contains(document.activeElement) ? move(-1) : false),
    e: nextError,
  });
  const begun = lines_not_shown > 0 ? Number.NEGATIVE_INFINITY : instant(channel.created_at);
  const time = (line: LineView, before: LineView | undefined) =>
    instant(line.at) - (before === undefined ? begun : instant(before.at)) > PAUSE_MS;
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be reached by keys */}
      <div class="talk-lines" ref={follow.box} onScroll={follow.scrolled} tabIndex={0} role="log" aria-live="off">
        <ol ref={list}>
          {lines_not_shown > 0 ? (
            <li class="talk-earlier">
              <span class="quiet">{`${many(lines_not_shown, "earlier line")} not shown here.`}</span>{" "}
              <a href={href("log", "", { channel: [channel.channel_id] })}>Read them from the log</a>
            </li>
          ) : (
            <Opened channel={channel} />
          )}
          {lines.map((line, index) => (
            <Line
              key={line.seq}
              line={line}
              channel={channel}
              time={time(line, lines[index - 1]) ? clockMinutes(instant(line.at)) : ""}
              isOpen={isOpenByItself(line) !== folds.includes(`${line.seq}`)}
              onFold={() => setParams({ fold: toggled(folds, `${line.seq}`) })}
            />
          ))}
          {channel.ended_at ? <Ended channel={channel} /> : <Doing doing={doing} />}
        </ol>
      </div>
      <footer class="talk-foot">
        {follow.isAtEnd ? (
          <span class="quiet talk-follows">
            {!channel.ended_at && <span class="dot" />}
            {channel.ended_at ? "It has ended: nothing new will come" : "Follows new messages"}
          </span>
        ) : (
          <Button sign="down" onClick={follow.toEnd}>
            {follow.newCount ? `${number(follow.newCount)} new` : "To the newest"}
          </Button>
        )}
        <span class="space" />
        <span class="quiet only-wide talk-keys">
          <Key>j</Key> <Key>k</Key> move <Key>enter</Key> open <Key>e</Key> next error
        </span>
      </footer>
    </>
  );
}

function Opened({ channel }: { channel: ChannelView }) {
  const names = namesOf(channel.participant_names, channel.participants.length + channel.participants_not_shown);
  return (
    <>
      <li class="talk-rule quiet">
        <span>{clockMinutes(instant(channel.created_at))}</span>
      </li>
      <li class="talk-note">
        <KindSign kind="channel.opened" />
        <span class="second">{names ? `opened with ${names}` : "the channel was opened"}</span>
        <time class="quiet talk-time" dateTime={channel.created_at}>
          {clock(channel.created_at)}
        </time>
      </li>
    </>
  );
}

function Ended({ channel }: { channel: ChannelView }) {
  return (
    <li class="talk-note">
      <KindSign kind="channel.closed" />
      <span class="second">{`${visible(channel.state)}${channel.reason ? `: ${visible(channel.reason)}` : ""}`}</span>
      <time class="quiet talk-time" dateTime={channel.ended_at}>
        {clock(channel.ended_at)}
      </time>
    </li>
  );
}

/** What is going on now, as the last line. */
function Doing({ doing }: { doing: readonly DoingView[] }) {
  return doing.map(({ agent_id, agent, doing: each }) => (
    <li key={`${agent_id} ${each.id}`} class="talk-note talk-doing">
      {each.family === "approval" ? (
        <FamilySign family="approval" label="waits for an approval" />
      ) : (
        <OutcomeSign outcome="open" />
      )}
      <span class="wrapped">
        <b class="accent">{visible(agent)}</b>{" "}
        {each.family === "approval" ? "waits for approval of " : each.family === "tool" ? "calls " : ""}
        {doingWords(each)}, for <Since at={each.since_at} />
        {each.family === "approval" && (
          <>
            {" "}
            <a href={href("approvals", each.id)}>Decide</a>
          </>
        )}
      </span>
    </li>
  ));
}

/** Every event of the channel, the newest last. */
function AllEvents({ channel }: { channel: ChannelView }) {
  const [limit, setLimit] = useState(EVENTS);
  const reading = useReading(`events in ${channel.channel_id} ${limit}`, (signal) =>
    api.events({ channel: channel.channel_id, newest_first: true, limit }, signal),
  );
  const rows = [...(reading.data?.rows ?? [])].reverse();
  const follow = useFollowing(rows.length);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be reached by keys
    <div class="talk-lines" ref={follow.box} onScroll={follow.scrolled} tabIndex={0}>
      {reading.data === null && <Unread reading={reading} what="the events of this channel" />}
      {rows.length >= limit && limit < 5000 && (
        <Button onClick={() => setLimit(Math.min(5000, limit * 3))}>Show earlier ones</Button>
      )}
      <ol class="newest">
        {rows.map((row) => (
          <li key={row.seq}>
            <a {...eventLink(row.seq)} data-stop>
              <span class="quiet">{clock(row.at)}</span>
              <KindSign kind={row.kind} />
              <span class="talk-kind cut">{visible(row.kind)}</span>
              <span
                class={`cut ${row.meaning === "wrong" ? "wrong" : row.meaning === "attention" ? "attention" : "plain"}`}
              >
                {row.agent ? <b class="named">{visible(row.agent)} </b> : null}
                {visible(row.words ?? "")}
              </span>
              {row.outcome && row.outcome !== "ok" && row.outcome !== "open" && <OutcomeSign outcome={row.outcome} />}
            </a>
          </li>
        ))}
      </ol>
      {reading.data && rows.length === 0 && (
        <p class="quiet">
          <Sign name="gap" size={14} /> No event of this channel is kept.
        </p>
      )}
    </div>
  );
}
