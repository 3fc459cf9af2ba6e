// All that is needed to decide: who wants what, how long it waits, the risk, the arguments, what was said before.

import { api } from "../../base/api.ts";
import type { ApprovalView, LineView } from "../../base/boards.ts";
import { now } from "../../base/clock.ts";
import { bytes, clock, number, visible, whole } from "../../base/format.ts";
import { agentColour } from "../../base/kinds.ts";
import { useOnce } from "../../base/once.ts";
import { href, param, setParams } from "../../base/router.ts";
import type { ApprovalDetail, Json } from "../../base/wire.ts";
import { Drawer, DrawerTitle, PartTitle } from "../../frame/Drawer.tsx";
import { Fields } from "../../parts/Fields.tsx";
import { JsonTree } from "../../parts/JsonTree.tsx";
import { HiddenNote, Unread } from "../../parts/Notes.tsx";
import { Provenance } from "../../parts/Provenance.tsx";
import { Age, Segmented } from "../../parts/parts.tsx";
import { Sign } from "../../parts/Sign.tsx";
import { rows, session, tenant } from "../../stream/state.ts";
import { Decide } from "./Decide.tsx";
import { RiskPart } from "./Risk.tsx";
import { afterThat, argumentWords, countdown, deadlineOf, deciders, isWaiting, modeWords, verdictOf } from "./words.ts";

export interface ApprovalDrawerProps {
  id: string;
  /** As the board has it; null: it is not there, or no longer. */
  known: ApprovalView | null;
  /** When the board was read, by the hub's clock. */
  at: number;
  onClose: () => void;
  onDecided: () => void;
}

export function ApprovalDrawer({ id, known, at, onClose, onDecided }: ApprovalDrawerProps) {
  const turn = known ? `${known.state} ${known.stage} ${known.passed.length} ${known.failed.length}` : "";
  const detail = useOnce(id, `${id} ${turn}`, (signal) => api.approval(id, tenant.value, signal));
  const one = known ?? detail.data?.approval ?? null;
  const again = () => {
    detail.again();
    onDecided();
  };
  return (
    <Drawer
      label="Approval"
      wide
      moves
      onClose={onClose}
      head={
        <>
          <Sign name="approval" class="family-control" />
          <DrawerTitle>Approval</DrawerTitle>
          {one && (
            <span class="quiet cut" title={whole(one.requested_at)}>
              asked at {clock(one.requested_at)} ·{" "}
              <a class="quiet" href={href("live", "", { sel: [String(one.requested_seq)] })}>
                #{number(one.requested_seq)}
              </a>
            </span>
          )}
        </>
      }
      foot={one && <Decide key={id} one={one} detail={detail.data} onDecided={again} />}
    >
      {one ? (
        <>
          <Question one={one} at={known ? at : now.peek()} />
          <RiskPart one={one} />
          <ArgumentsPart one={one} detail={detail.data} />
          {!detail.data && <Unread reading={detail} what="the arguments" />}
          <SaidPart one={one} lines={detail.data?.said_before ?? []} />
        </>
      ) : (
        <Unread reading={detail} what="the approval" />
      )}
    </Drawer>
  );
}

function Question({ one, at }: { one: ApprovalView; at: number }) {
  const name = visible(one.agent);
  const mode = modeWords(one);
  return (
    <section class="drawer-part question-part">
      <p class={`question-words agent-${agentColour(one.agent)}`}>
        {name} wants to run <b>{visible(one.action)}</b>
      </p>
      <p class="question-left">
        {isWaiting(one) ? <Left one={one} at={at} /> : <Verdict one={one} />}
        {mode && <span class="question-mode">{mode}</span>}
      </p>
    </section>
  );
}

function Left({ one, at }: { one: ApprovalView; at: number }) {
  const deadline = deadlineOf(one, at);
  if (deadline === null) return <span>How long it waits is not known.</span>;
  const left = deadline - now.value;
  return (
    <>
      <Sign name="late" size={14} class={left < 120_000 ? "tone-attention" : "tone-text-2"} />
      <span>
        <b class="named">{countdown(left)}</b> left. {afterThat(one)}
      </span>
    </>
  );
}

function Verdict({ one }: { one: ApprovalView }) {
  const { sign, tone } = verdictOf(one.state);
  return (
    <>
      <Sign name={sign} size={14} class={`tone-${tone}`} />
      <span>
        <b class="named">{visible(one.state)}</b> by {deciders(one.decided_by)} <Age at={one.decided_at} />
      </span>
    </>
  );
}

function ArgumentsPart({ one, detail }: { one: ApprovalView; detail: ApprovalDetail | null }) {
  const form = param("arguments") === "json" ? "json" : "fields";
  const found = detail?.arguments;
  const who = session.value;
  const isHidden = who !== null && who !== "unknown" && !who.contents;
  if (!detail) return null;
  if (found === null || found === undefined) {
    const words = one.arguments_at
      ? `They are elsewhere: ${visible(one.arguments_at)} (${bytes(one.arguments_bytes)}).`
      : one.arguments
        ? argumentWords(one.arguments)
        : "It has none.";
    return (
      <section class="drawer-part">
        <PartTitle>Arguments</PartTitle>
        {isHidden ? <HiddenNote /> : <p class="second arguments-words">{words}</p>}
        {!isHidden && one.arguments && !one.arguments_at && (
          <p>
            <a href={href("log", "", { sel: [String(one.requested_seq)] })}>All of them, in the log</a>
          </p>
        )}
      </section>
    );
  }
  return (
    <section class="drawer-part arguments">
      <header>
        <PartTitle>
          Arguments <Provenance words={detail.provenance} />
        </PartTitle>
        <Segmented
          label="How the arguments are shown"
          choices={[
            ["fields", "Fields"],
            ["json", "JSON"],
          ]}
          value={form}
          onChoose={(value) => setParams({ arguments: value === "json" ? value : null })}
        />
      </header>
      {form === "fields" && isRecord(found) ? (
        <Fields key={one.approval_id} value={found} />
      ) : (
        <JsonTree key={one.approval_id} value={found} label="Arguments" />
      )}
    </section>
  );
}

function isRecord(value: Json): value is { [key: string]: Json } {
  return value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length > 0;
}

/** The topic of a channel, as far as the rows of this page tell. */
function topicOf(channelId: string): string {
  const { all } = rows;
  for (let index = all.length - 1; index >= Math.max(0, all.length - 5000); index -= 1) {
    const entry = all.at(index);
    if (entry && "channel_id" in entry && entry.channel_id === channelId && entry.channel) return entry.channel;
  }
  return "";
}

function SaidPart({ one, lines }: { one: ApprovalView; lines: readonly LineView[] }) {
  if (!lines.length && !one.channel_id) return null;
  const who = session.value;
  const isHidden = who !== null && who !== "unknown" && !who.contents;
  const head = lines.length ? "Said before" : isHidden ? "Asked" : "Nothing was said before";
  const topic = one.channel_id ? visible(topicOf(one.channel_id)) || "its channel" : "";
  return (
    <section class="drawer-part">
      <PartTitle>
        {head}
        {one.channel_id && (
          <>
            {head === "Asked" ? " in " : ", in "}
            <a href={href("channels", one.channel_id)}>{topic}</a>
          </>
        )}
      </PartTitle>
      {lines.map((line) => (
        <blockquote key={line.seq + line.text} class={`said agent-${agentColour(line.agent)}`}>
          <cite>{visible(line.agent)}</cite> {visible(line.text)}
        </blockquote>
      ))}
    </section>
  );
}
