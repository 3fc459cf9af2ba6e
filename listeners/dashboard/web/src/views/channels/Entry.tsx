// A channel in the list: its topic, what was wrong in it, and what was said last.

import type { ChannelView, LineView } from "../../base/boards.ts";
import { now } from "../../base/clock.ts";
import { instant, many, visible } from "../../base/format.ts";
import { href } from "../../base/router.ts";
import { Age } from "../../parts/parts.tsx";
import { Sign } from "../../parts/Sign.tsx";

/** What was wrong longer ago puts a channel no longer first. */
const RECENT_MS = 15 * 60_000;

export interface Trouble {
  sign: string;
  tone: string;
  label: string;
  line: LineView;
}

/** What was wrong in a channel that goes on, if it was lately. */
export function troubleOf(channel: ChannelView): Trouble | null {
  const line = channel.last_trouble;
  if (!line || channel.ended_at || now.peek() - instant(line.at) > RECENT_MS) return null;
  if (line.sort === "violated") return { sign: "late", tone: "wrong", label: "an expectation was not kept", line };
  if (line.sort === "rejected") return { sign: "refused", tone: "attention", label: "refused", line };
  return { sign: "failed", tone: "wrong", label: "failed", line };
}

function rank(channel: ChannelView): number {
  if (channel.ended_at) return 4;
  const trouble = troubleOf(channel);
  if (channel.approvals_waiting) return trouble?.tone === "wrong" ? 0 : 1;
  if (!trouble) return 3;
  return trouble.tone === "wrong" ? 0 : 2;
}

/** Those with trouble first, or just the newest first. */
export function inOrder(channels: readonly ChannelView[], order: "trouble" | "newest"): ChannelView[] {
  const newest = [...channels].sort((one, other) => (one.last_at < other.last_at ? 1 : -1));
  return order === "newest" ? newest : newest.sort((one, other) => rank(one) - rank(other));
}

/** How a channel is called: by its topic, else by the end of its id. */
export function channelName(channel: ChannelView): string {
  return visible(channel.topic) || `#${visible(channel.channel_id.slice(-8))}`;
}

/** Of `#109 rebook` the number, which stands apart, and the rest. */
export function nameParts(channel: ChannelView): { number: string; name: string } {
  const whole = channelName(channel);
  const found = /^(#\d{1,9})\s+(\S.*)$/s.exec(whole);
  return found ? { number: found[1] ?? "", name: found[2] ?? "" } : { number: "", name: whole };
}

export function namesOf(names: readonly string[], all = names.length): string {
  const shown = names.slice(0, 3).map(visible);
  const rest = all - shown.length;
  if (rest > 0) return `${shown.join(", ")} and ${rest} more`;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}

/** A line of the transcript, in a few words. */
export function lineWords(line: LineView): string {
  const who = visible(line.agent);
  if (line.sort === "said") return who ? `${who}: ${visible(line.text)}` : visible(line.text);
  if (line.sort === "rejected") return `${who} was refused: ${visible(line.text)}`;
  if (line.sort === "violated") return `${visible(line.text)} not kept: ${namesOf(line.to)}`;
  if (line.sort === "joined") return `${namesOf(line.to, line.recipients)} joined`;
  if (line.sort === "left") return `${namesOf(line.to, line.recipients)} left`;
  const tools = Object.keys(line.calls).map(visible).join(", ");
  return line.failed ? `${tools} ✕ ${visible(line.text)}` : tools;
}

function words(channel: ChannelView, trouble: Trouble | null): string {
  if (channel.ended_at) return [channel.reason && visible(channel.reason), channel.state].filter(Boolean).join(" · ");
  if (trouble) return lineWords(trouble.line);
  if (channel.approvals_waiting) return many(channel.approvals_waiting, "approval waits", "approvals wait");
  return channel.last ? lineWords(channel.last) : "nothing was said yet";
}

export function Entry({
  channel,
  isOpen,
  onOpen,
}: {
  channel: ChannelView;
  isOpen: boolean;
  onOpen: (id: string) => void;
}) {
  const trouble = troubleOf(channel);
  const { number, name } = nameParts(channel);
  const said = words(channel, trouble);
  return (
    <li>
      <a
        class="channel-entry"
        data-stop
        href={href("channels", channel.channel_id)}
        aria-current={isOpen ? "page" : undefined}
        onClick={(event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey) return;
          event.preventDefault();
          onOpen(channel.channel_id);
        }}
      >
        {number ? (
          <span class="channel-number quiet">{number}</span>
        ) : (
          <Sign name="channel" class={channel.ended_at ? "tone-quiet" : "family-talk"} size={14} />
        )}
        <span class="channel-lines">
          <span class="channel-first">
            <span class={channel.ended_at ? "cut" : "cut named"} title={channelName(channel)}>
              {name}
            </span>
            <span class="space" />
            {trouble && <Sign name={trouble.sign} class={`tone-${trouble.tone}`} size={14} label={trouble.label} />}
            {channel.approvals_waiting > 0 && (
              <Sign name="approval" class="family-control" size={14} label="an approval waits" />
            )}
            <span class="quiet">
              <Age at={channel.last_at} plain />
            </span>
          </span>
          <span class="cut quiet" title={said}>
            {said}
          </span>
        </span>
      </a>
    </li>
  );
}
