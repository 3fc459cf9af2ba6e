// What there is to know of one bar: how it went, then facts, then where to go on.

import { useBoardOne } from "../../base/board.ts";
import type { SpanView, Waterfall } from "../../base/boards.ts";
import { duration, number, visible, whole } from "../../base/format.ts";
import { goView, href, setParams } from "../../base/router.ts";
import type { Outcome } from "../../base/wire.ts";
import { Drawer, DrawerTitle } from "../../frame/Drawer.tsx";
import { useKeys } from "../../frame/keys.ts";
import { Unread } from "../../parts/Notes.tsx";
import { AgentName, Button, Facts, Since } from "../../parts/parts.tsx";
import { OutcomeSign } from "../../parts/Sign.tsx";
import { FamilySign } from "../agents/Card.tsx";
import { ChannelLink } from "../ChannelLink.tsx";
import { liveParams, spanWords } from "./Plot.tsx";

interface Props {
  runId: string;
  number: number;
  onClose: () => void;
}

export function SpanDrawer({ runId, number: wanted, onClose }: Props) {
  const reading = useBoardOne<Waterfall>("runs", runId);
  const spans = reading.data?.spans ?? [];
  const span = spans.find((each) => each.number === wanted);
  const live = () => span && goView("live", "", liveParams(span));
  useKeys({ l: live });
  return (
    <Drawer
      label="A part of the run"
      head={
        <DrawerTitle>
          {span ? (
            <>
              <FamilySign family={span.family} /> {span.family === "turn" ? "Turn" : visible(span.name)}
            </>
          ) : (
            "Part of a run"
          )}
        </DrawerTitle>
      }
      onClose={onClose}
      moves
    >
      {reading.data === null && <Unread reading={reading} what="this run" />}
      {reading.data && !span && <p class="note">This part is no longer on the board. The log has its events.</p>}
      {span && (
        <>
          <About span={span} />
          <Around span={span} spans={spans} runId={runId} />
          <div class="drawer-part buttons">
            <Button hotkey="l" onClick={live}>
              Show in Live
            </Button>
            {span.channel_id && <Button onClick={() => goView("channels", span.channel_id ?? "")}>Open channel</Button>}
          </div>
        </>
      )}
    </Drawer>
  );
}

function sentence(span: SpanView): string {
  const took = span.seconds === null || span.seconds === undefined ? "" : ` after ${duration(span.seconds * 1000)}`;
  const what = span.family === "turn" ? "The turn" : visible(span.name);
  if (span.outcome === "failed") return `${what} failed${took}`;
  if (span.outcome === "abandoned") return `${what} was abandoned${took}`;
  if (span.outcome === "open") return `${what} is open`;
  return `${what} ended well${took}`;
}

function About({ span }: { span: SpanView }) {
  const tone = span.outcome === "failed" ? "wrong" : span.outcome === "abandoned" ? "attention" : "";
  return (
    <>
      <div class="drawer-part">
        <p class={`agent-now ${tone}`}>
          <OutcomeSign outcome={span.outcome as Outcome} /> <b>{sentence(span)}</b>
        </p>
        {span.detail && <p class="wrapped span-detail">{visible(span.detail)}</p>}
      </div>
      <div class="drawer-part">
        <Facts
          rows={[
            ["Began", whole(span.started_at)],
            ["Ended", span.ended_at ? whole(span.ended_at) : <Since key="since" at={span.started_at} />],
            [
              "Agent",
              span.agent_id && <AgentName key="agent" name={span.agent} href={href("agents", span.agent_id)} />,
            ],
            ["Channel", span.channel_id && <ChannelLink key="channel" channelId={span.channel_id} />],
            [span.family === "turn" ? "Prompt" : "Arguments", span.preview && visible(span.preview)],
            [
              "Tokens",
              span.input_tokens !== null &&
                span.input_tokens !== undefined &&
                `${number(span.input_tokens)} in, ${number(span.output_tokens)} out`,
            ],
            ["Recorded", span.is_recorded && "elsewhere: no end of it is waited for"],
            [
              "Began with",
              <a key="seq" href={href("live", "", { sel: [`${span.started_seq}`] })}>
                #{number(span.started_seq)}
              </a>,
            ],
            [
              "Id",
              <code key="id" class="wrapped">
                {visible(span.span_id)}
              </code>,
            ],
          ]}
        />
      </div>
    </>
  );
}

/** What it is a part of, who has handed over to it, and what it holds. */
function Around({ span, spans, runId }: { span: SpanView; spans: readonly SpanView[]; runId: string }) {
  const find = (wanted: number | null | undefined) => spans.find((each) => each.number === wanted);
  const linked = [
    ["Part of", find(span.parent)],
    ["Handed over by", find(span.cause)],
    ...spans.filter((each) => each.cause === span.number).map((each) => ["Handed over to", each] as const),
    ...spans.filter((each) => each.parent === span.number).map((each) => ["Holds", each] as const),
  ] as [string, SpanView | undefined][];
  const there = linked.filter((each): each is [string, SpanView] => each[1] !== undefined);
  if (there.length === 0) return null;
  return (
    <div class="drawer-part">
      <h2>Linked</h2>
      <ul class="span-links">
        {there.slice(0, 30).map(([words, each]) => (
          <li key={`${words} ${each.number}`}>
            <span class="quiet">{words}</span>
            <button type="button" class="link cut" onClick={() => setParams({ span: `${each.number}@${runId}` })}>
              <FamilySign family={each.family} label={each.family} />{" "}
              {each.family === "turn" ? visible(each.agent) : ""} {spanWords(each)}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
