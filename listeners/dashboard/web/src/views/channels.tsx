// Channels: the list, what was said in one, and who talks to whom in it.

import { useEffect, useRef } from "preact/hooks";
import { useBoard, useBoardOne } from "../base/board.ts";
import type { ChannelView, Transcript } from "../base/boards.ts";
import { many, number } from "../base/format.ts";
import { go, goView, param, place, setParams } from "../base/router.ts";
import { useKeys } from "../frame/keys.ts";
import { Detail } from "../live/Detail.tsx";
import { Empty } from "../parts/Empty.tsx";
import { Unread } from "../parts/Notes.tsx";
import { useArranged, useIsAmong, useStops } from "./arranged.ts";
import { Entry, inOrder } from "./channels/Entry.tsx";
import { Side } from "./channels/Side.tsx";
import { Talk } from "./channels/Talk.tsx";

const OPEN = `planner = await hub.agents.register("planner")
channel = await hub.channels.open([planner], topic="hello")
await channel.post(planner, {"text": "hello, hub"})`;

/** So many channels are drawn until more are asked for. */
const STEP = 200;

function openChannel(channelId: string): void {
  go({ ...place.value, id: channelId, params: keptParams() });
}

/** What of the address is about the list, and not about the channel. */
function keptParams() {
  const { tenant, order, more } = place.value.params;
  return { ...(tenant ? { tenant } : {}), ...(order ? { order } : {}), ...(more ? { more } : {}) };
}

export function Channels() {
  const reading = useBoard<ChannelView>("channels", { limit: 1500 });
  const openId = place.value.id;
  const order = param("order") === "newest" ? "newest" : "trouble";
  const rows = inOrder(reading.data?.rows ?? [], order);
  const first = rows[0]?.channel_id;
  useEffect(() => {
    if (openId || !first || matchMedia("(max-width: 899px)").matches) return;
    go({ ...place.value, id: first }, true);
  }, [openId, first]);
  if (reading.data && rows.length === 0) {
    return (
      <section class="view" aria-label="Channels">
        <header class="view-head">
          <h1>Channels</h1>
          <span class="quiet">0</span>
        </header>
        <div class="view-scroll">
          <Empty title="No channel is open yet." code={[["Open one, and let an agent say a word", OPEN]]}>
            In channels agents talk to each other; what is said there shows here as a conversation, with acks and tools.
          </Empty>
        </div>
      </section>
    );
  }
  const sel = /^\d+$/.test(param("sel")) ? Number(param("sel")) : null;
  const list = (
    <section
      class={`view channels ${openId ? "channels-open" : ""} ${sel !== null ? "channels-beside" : param("about") ? "channels-about" : ""}`}
      aria-label="Channels"
    >
      <List rows={rows} order={order} openId={openId} notShown={reading.data?.not_shown ?? 0}>
        {reading.data === null && <Unread reading={reading} what="the channels" />}
      </List>
      {openId && <One key={openId} channelId={openId} />}
    </section>
  );
  return (
    <>
      {list}
      {sel !== null && (
        <Detail
          seq={sel}
          row={null}
          onClose={() => setParams({ sel: null })}
          onSeq={(seq) => setParams({ sel: `${seq}` })}
          onContext={(row) => goView("live", "", { ...(openId ? { channel: [openId] } : {}), sel: [`${row.seq}`] })}
        />
      )}
    </>
  );
}

interface ListProps {
  rows: readonly ChannelView[];
  order: "trouble" | "newest";
  openId: string;
  notShown: number;
  children: preact.ComponentChildren;
}

function List({ rows, order, openId, notShown, children }: ListProps) {
  const list = useRef<HTMLElement>(null);
  const isHeld = useIsAmong(list);
  const arranged =
    useArranged(
      rows,
      (channel) => channel.channel_id,
      () => "all",
      isHeld,
    ).get("all") ?? [];
  const move = useStops(list);
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    escape: () => (param("about") ? setParams({ about: null }) : false),
  });
  const drawn = param("more") ? arranged : arranged.slice(0, STEP);
  return (
    <nav class="channels-list" aria-label="Channels" ref={list}>
      <header class="view-head">
        <h1>Channels</h1>
        <span class="quiet">{number(rows.length + notShown)}</span>
        <span class="space" />
        <select
          class="plain-select"
          aria-label="Order of the channels"
          value={order}
          onChange={(event) => setParams({ order: event.currentTarget.value === "newest" ? "newest" : null })}
        >
          <option value="trouble">Trouble first</option>
          <option value="newest">Newest first</option>
        </select>
      </header>
      <div class="view-scroll">
        {children}
        <ul>
          {drawn.map((channel) => (
            <Entry
              key={channel.channel_id}
              channel={channel}
              isOpen={channel.channel_id === openId}
              onOpen={openChannel}
            />
          ))}
        </ul>
        {drawn.length < arranged.length && (
          <button type="button" class="channels-rest link" onClick={() => setParams({ more: "1" })}>
            {`Show ${many(arranged.length - drawn.length, "more channel")}`}
          </button>
        )}
        {notShown > 0 && <p class="channels-rest quiet">{`${many(notShown, "channel")} more: the log has them.`}</p>}
      </div>
    </nav>
  );
}

function One({ channelId }: { channelId: string }) {
  const reading = useBoardOne<Transcript>("channels", channelId);
  const transcript = reading.data;
  useKeys({ l: () => goView("live", "", { channel: [channelId] }) });
  if (transcript === null) {
    return (
      <div class="talk">
        <Unread reading={reading} what="what was said" />
      </div>
    );
  }
  return (
    <>
      <Talk transcript={transcript} />
      <Side transcript={transcript} />
    </>
  );
}
