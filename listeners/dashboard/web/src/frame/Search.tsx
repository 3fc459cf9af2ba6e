// Search over what the page knows: events, agents, channels.

import { signal } from "@preact/signals";
import { api } from "../base/api.ts";
import type { AgentView, ChannelView } from "../base/boards.ts";
import { visible } from "../base/format.ts";
import { goView, place, setParams } from "../base/router.ts";
import { type Choice, Combo } from "../parts/Combo.tsx";
import { AgentName, Key } from "../parts/parts.tsx";
import { Sign } from "../parts/Sign.tsx";

/** Names are read again when the field gets the focus and they are older than this. */
const NAMES_MS = 10_000;
const NAMES_SHOWN = 6;

const agents = signal<readonly AgentView[]>([]);
const channels = signal<readonly ChannelView[]>([]);
let readAt = Number.NEGATIVE_INFINITY;

async function learn(): Promise<void> {
  if (performance.now() - readAt < NAMES_MS) return;
  readAt = performance.now();
  const [heardAgents, heardChannels] = await Promise.allSettled([
    api.board<AgentView>("agents", { limit: 1000 }),
    api.board<ChannelView>("channels", { limit: 1000 }),
  ]);
  if (heardAgents.status === "fulfilled") agents.value = heardAgents.value.rows;
  if (heardChannels.status === "fulfilled") channels.value = heardChannels.value.rows;
}

function searchEvents(words: string): void {
  if (place.value.view === "live") setParams({ text: words, since: null, until: null, sel: null }, false);
  else goView("live", "", { text: [words] });
}

function line(sign: string, words: string) {
  return (
    <>
      <Sign name={sign} size={14} />
      <span class="cut">{visible(words)}</span>
    </>
  );
}

function found(words: string): Choice[] {
  if (!words) return [];
  const list: Choice[] = [
    { key: "events", words: line("live", `Events with “${words}”`), act: () => searchEvents(words) },
    {
      key: "log",
      words: line("log", `The whole log for “${words}”`),
      act: () => goView("log", "", { text: [words] }),
    },
  ];
  const seq = /^#?([\d,]+)$/.exec(words)?.[1]?.replaceAll(",", "");
  if (seq) {
    const act = () => goView("live", "", { sel: [seq] });
    list.unshift({ key: "seq", words: line("live", `Event #${seq}`), act });
  }
  const small = words.toLowerCase();
  for (const each of agents.value.filter((one) => one.name.toLowerCase().includes(small)).slice(0, NAMES_SHOWN)) {
    const act = () => goView("agents", "", { sel: [each.agent_id] });
    list.push({ key: `a ${each.agent_id}`, group: "Agents", words: <AgentName name={each.name} />, act });
  }
  for (const each of channels.value.filter((one) => one.topic.toLowerCase().includes(small)).slice(0, NAMES_SHOWN)) {
    const act = () => goView("channels", each.channel_id);
    const words = line("channel", each.topic || each.channel_id);
    list.push({ key: `c ${each.channel_id}`, group: "Channels", words, act });
  }
  return list;
}

export function Search() {
  return (
    <search class="search">
      <Sign name="search" size={14} />
      <Combo
        id="search"
        label="Search events, agents, channels"
        placeholder="Search events, agents, channels"
        choices={found}
        onFocus={() => void learn()}
      />
      <Key>/</Key>
    </search>
  );
}
