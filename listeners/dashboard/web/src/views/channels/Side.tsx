// Beside a transcript: who talks to whom, what is expected, and the figures of the channel.

import { api } from "../../base/api.ts";
import type { ChannelView, ExpectationView, LineView, Transcript } from "../../base/boards.ts";
import { clock, duration, many, number, short, UNKNOWN, visible } from "../../base/format.ts";
import { goView } from "../../base/router.ts";
import { Button, Facts } from "../../parts/parts.tsx";
import { OutcomeSign } from "../../parts/Sign.tsx";
import { namesOf } from "./Entry.tsx";
import { Graph } from "./Graph.tsx";

export function Side({ transcript }: { transcript: Transcript }) {
  const { channel, links, links_not_shown, lines } = transcript;
  return (
    <aside class="channel-side" aria-label="About the channel">
      <section class="drawer-part" aria-label="Who talks to whom">
        <h2 class="side-head">
          Who talks to whom <span class="quiet">{many(channel.posts, "envelope")}</span>
        </h2>
        {links.length === 0 ? (
          <p class="quiet">No envelope was posted yet.</p>
        ) : (
          <Graph links={links} notShown={links_not_shown} />
        )}
      </section>
      <section class="drawer-part" aria-label="Expectations">
        <h2 class="side-head">Expectations</h2>
        {channel.expectations.length === 0 && <p class="quiet">None are set on this channel.</p>}
        <ul>
          {channel.expectations.map((each, index) => (
            <Expectation key={`${each.name} ${index}`} expectation={each} />
          ))}
        </ul>
      </section>
      <section class="drawer-part" aria-label="In this channel">
        <h2 class="side-head">In this channel</h2>
        <Figures channel={channel} lines={lines} />
      </section>
      <div class="drawer-part buttons">
        <Button hotkey="l" onClick={() => goView("live", "", { channel: [channel.channel_id] })}>
          Show in Live
        </Button>
        <a
          class="button button-quiet"
          href={api.exportAddress({ format: "jsonl", channel: channel.channel_id })}
          download
        >
          Export
        </a>
      </div>
    </aside>
  );
}

function Expectation({ expectation }: { expectation: ExpectationView }) {
  const { name, state, violations, violators, trouble, last_violated_at } = expectation;
  const shown = visible(name);
  const words =
    state === "troubled"
      ? visible(trouble)
      : state === "violated"
        ? `${many(violations, "time")} not kept`
        : "kept so far";
  return (
    <li class="expectation">
      <OutcomeSign outcome={state === "kept" ? "ok" : state === "violated" ? "late" : "refused"} />
      <span class="cut" title={shown}>
        {shown}
      </span>
      <span class="space" />
      <span
        class="quiet cut expectation-words"
        title={violators.length ? `${namesOf(violators)}, at ${clock(last_violated_at)}` : words}
      >
        {words}
      </span>
    </li>
  );
}

/** The middle of how long recipients took, of what is shown. */
export function medianAck(lines: readonly LineView[]): number | null {
  const took = lines
    .map((line) => line.acked_seconds)
    .filter((seconds): seconds is number => seconds !== null && seconds !== undefined)
    .sort((one, other) => one - other);
  return took[Math.floor(took.length / 2)] ?? null;
}

function Figures({ channel, lines }: { channel: ChannelView; lines: readonly LineView[] }) {
  const median = medianAck(lines);
  const tokens = channel.input_tokens + channel.output_tokens;
  const participants = channel.participants.length + channel.participants_not_shown;
  return (
    <Facts
      rows={[
        ["Envelopes", number(channel.posts)],
        ["Acknowledged", `${number(channel.acked)}${median === null ? "" : `, median ${duration(median * 1000)}`}`],
        [
          "Refused",
          <span key="refused" class={channel.rejected ? "attention" : "quiet"}>
            {number(channel.rejected)}
          </span>,
        ],
        [
          "Not reached",
          channel.failed > 0 && (
            <span key="failed" class="wrong">
              {number(channel.failed)}
            </span>
          ),
        ],
        [
          "Tool calls",
          <span key="calls">
            {number(channel.calls)}
            {channel.calls_failed > 0 && (
              <>
                , <span class="wrong">{`${number(channel.calls_failed)} failed`}</span>
              </>
            )}
          </span>,
        ],
        ["Tokens", tokens ? short(tokens) : UNKNOWN],
        [
          "Participants",
          <span key="participants" title={channel.participant_names.map(visible).join(", ")}>
            {number(participants)}
          </span>,
        ],
        ["Opened", clock(channel.created_at)],
        ["Tenant", channel.tenant && visible(channel.tenant)],
        [
          "Id",
          <code key="id" class="wrapped">
            {visible(channel.channel_id)}
          </code>,
        ],
      ]}
    />
  );
}
