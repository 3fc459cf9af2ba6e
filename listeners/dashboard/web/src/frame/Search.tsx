// Search over what the page knows: events, agents, channels.

import { signal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { api } from "../base/api.ts";
import type { AgentView, ChannelView } from "../base/boards.ts";
import { visible } from "../base/format.ts";
import { goView, place, setParams } from "../base/router.ts";
import { AgentName, Key } from "../parts/parts.tsx";
import { Sign } from "../parts/Sign.tsx";

interface Found {
  key: string;
  sort: "events" | "log" | "agent" | "channel" | "seq";
  words: string;
  act: () => void;
}

const text = signal("");
const isOpen = signal(false);
const chosen = signal(0);
const agents = signal<readonly AgentView[]>([]);
const channels = signal<readonly ChannelView[]>([]);
let readAt = 0;

async function learn(): Promise<void> {
  if (Date.now() - readAt < 10_000) return;
  readAt = Date.now();
  const [heardAgents, heardChannels] = await Promise.allSettled([
    api.board<AgentView>("agents", { limit: 1000 }),
    api.board<ChannelView>("channels", { limit: 1000 }),
  ]);
  if (heardAgents.status === "fulfilled") agents.value = heardAgents.value.rows;
  if (heardChannels.status === "fulfilled") channels.value = heardChannels.value.rows;
}

function searchEvents(words: string): void {
  if (place.value.view === "live") setParams({ text: words, range: null, sel: null }, false);
  else goView("live", "", { text: [words] });
}

function found(): Found[] {
  const words = text.value.trim();
  if (!words) return [];
  const list: Found[] = [
    { key: "events", sort: "events", words: `Events with “${words}”`, act: () => searchEvents(words) },
    {
      key: "log",
      sort: "log",
      words: `The whole log for “${words}”`,
      act: () => goView("log", "", { text: [words] }),
    },
  ];
  const seq = /^#?([\d,]+)$/.exec(words)?.[1]?.replaceAll(",", "");
  if (seq)
    list.unshift({
      key: "seq",
      sort: "seq",
      words: `Event #${seq}`,
      act: () => goView("live", "", { sel: [seq] }),
    });
  const small = words.toLowerCase();
  for (const each of agents.value.filter((one) => one.name.toLowerCase().includes(small)).slice(0, 6)) {
    list.push({
      key: `a${each.agent_id}`,
      sort: "agent",
      words: each.name,
      act: () => goView("agents", "", { sel: [each.agent_id] }),
    });
  }
  for (const each of channels.value.filter((one) => one.topic.toLowerCase().includes(small)).slice(0, 6)) {
    list.push({
      key: `c${each.channel_id}`,
      sort: "channel",
      words: each.topic || each.channel_id,
      act: () => goView("channels", each.channel_id),
    });
  }
  return list;
}

export function Search() {
  const input = useRef<HTMLInputElement>(null);
  const list = isOpen.value ? found() : [];
  const done = (one: Found | undefined) => {
    if (!one) return;
    isOpen.value = false;
    text.value = "";
    input.current?.blur();
    one.act();
  };
  const press = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") chosen.value = Math.min(chosen.value + 1, list.length - 1);
    else if (event.key === "ArrowUp") chosen.value = Math.max(chosen.value - 1, 0);
    else if (event.key === "Enter") done(list[chosen.value]);
    else return;
    event.preventDefault();
  };
  const isShown = list.length > 0;
  return (
    <search class="search">
      <Sign name="search" size={14} />
      <input
        id="search"
        ref={input}
        type="text"
        role="combobox"
        aria-expanded={isShown}
        aria-controls="search-found"
        aria-activedescendant={isShown ? `found-${chosen.value}` : undefined}
        aria-label="Search events, agents, channels"
        placeholder="Search events, agents, channels"
        autocomplete="off"
        spellcheck={false}
        value={text.value}
        onFocus={() => {
          isOpen.value = true;
          void learn();
        }}
        onBlur={() => {
          isOpen.value = false;
        }}
        onInput={(event) => {
          text.value = event.currentTarget.value;
          chosen.value = 0;
        }}
        onKeyDown={press}
      />
      <Key>/</Key>
      <div id="search-found" role="listbox" aria-label="Found" class={isShown ? "menu search-found" : "unseen"}>
        {list.map((one, index) => (
          // biome-ignore lint/a11y/useFocusableInteractive: the field keeps the focus and names the chosen one
          <div
            key={one.key}
            id={`found-${index}`}
            role="option"
            aria-selected={index === chosen.value}
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => done(one)}
          >
            {one.sort === "agent" ? (
              <AgentName name={one.words} />
            ) : (
              <>
                <Sign name={one.sort === "channel" ? "channel" : one.sort === "log" ? "log" : "live"} size={14} />
                <span class="cut">{visible(one.words)}</span>
              </>
            )}
          </div>
        ))}
      </div>
    </search>
  );
}
