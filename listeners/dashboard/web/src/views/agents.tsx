// Agents: who needs a look, who is at work, and who is quiet.

import { useRef } from "preact/hooks";
import { useBoard } from "../base/board.ts";
import type { AgentView } from "../base/boards.ts";
import { many, number } from "../base/format.ts";
import { go, paramAll, place, setParams } from "../base/router.ts";
import { useKeys } from "../frame/keys.ts";
import { Unread } from "../parts/Notes.tsx";
import { Button } from "../parts/parts.tsx";
import { agentState, StateSign } from "../parts/Sign.tsx";
import { AgentDrawer } from "./agents/AgentDrawer.tsx";
import { Card } from "./agents/Card.tsx";
import { NoAgents, NoneMatch } from "./agents/Nothing.tsx";
import { Quiet } from "./agents/Quiet.tsx";
import { toggled, useArranged, useIsAmong, useStops } from "./arranged.ts";
import { textOf, Unless } from "./Unless.tsx";

const STATES = ["failing", "waits_for_person", "silent", "working", "waits_for_agent", "idle", "gone"] as const;
const GROUPS = [
  ["needs_look", "Need a look"],
  ["at_work", "At work"],
  ["quiet", "Quiet"],
] as const;
/** So many of a group are drawn until more are asked for. */
const STEP = 60;

function openAgent(agentId: string): void {
  go({ ...place.value, id: place.value.id === agentId ? "" : agentId });
}

function closeAgent(): void {
  go({ ...place.value, id: "" });
}

/** How many are in each state: a click shows those alone. */
function Summary({ agents, chosen }: { agents: readonly AgentView[]; chosen: readonly string[] }) {
  const counts = new Map<string, number>();
  for (const agent of agents) counts.set(agent.state, (counts.get(agent.state) ?? 0) + 1);
  return (
    <fieldset class="agent-counts" aria-label="Show agents in a state alone">
      {STATES.filter((state) => counts.has(state) || chosen.includes(state)).map((state) => (
        <button
          key={state}
          type="button"
          class="agent-count"
          aria-pressed={chosen.includes(state)}
          onClick={() => setParams({ state: toggled(chosen, state) })}
        >
          <StateSign state={state} />
          <b>{number(counts.get(state) ?? 0)}</b> {agentState(state).words.toLowerCase()}
        </button>
      ))}
    </fieldset>
  );
}

export function Agents() {
  const reading = useBoard<AgentView>("agents", { limit: 5000 });
  const list = useRef<HTMLDivElement>(null);
  const isHeld = useIsAmong(list);
  const chosen = paramAll("state");
  const all = reading.data?.rows ?? [];
  const shown = chosen.length ? all.filter((agent) => chosen.includes(agent.state)) : all;
  const groups = useArranged(
    shown,
    (agent) => agent.agent_id,
    (agent) => agent.group,
    isHeld,
  );
  const move = useStops(list);
  const openId = place.value.id;
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    escape: () => (chosen.length ? setParams({ state: null }) : false),
  });
  return (
    <>
      <section class="view agents" aria-label="Agents">
        <header class="view-head">
          <h1>Agents</h1>
          {reading.data && <span class="quiet">{number(all.length + (reading.data.not_shown ?? 0))}</span>}
          <Summary agents={all} chosen={chosen} />
          <span class="space" />
          <span class="quiet only-wide head-note" title="Who needs a look comes first">
            Who needs a look comes first
          </span>
        </header>
        <div class="view-scroll agents-list" ref={list}>
          {reading.data === null && <Unread reading={reading} what="the agents" />}
          {reading.data && all.length === 0 && <NoAgents />}
          {all.length > 0 && shown.length === 0 && <NoneMatch states={chosen} all={all.length} />}
          {GROUPS.map(([group, words]) => (
            <Group key={group} group={group} words={words} agents={groups.get(group) ?? []} openId={openId} />
          ))}
          {reading.data && reading.data.not_shown > 0 && (
            <p class="agents-rest quiet">{`${many(reading.data.not_shown, "agent")} more left the board: the log has them.`}</p>
          )}
        </div>
      </section>
      {openId && <AgentDrawer key={openId} agentId={openId} onClose={closeAgent} />}
    </>
  );
}

interface GroupProps {
  group: string;
  words: string;
  agents: readonly AgentView[];
  openId: string;
}

function Group({ group, words, agents, openId }: GroupProps) {
  if (agents.length === 0) return null;
  const more = paramAll("more");
  const drawn = more.includes(group) ? agents : agents.slice(0, STEP);
  return (
    <section class="agents-group" aria-label={words}>
      <h2>
        {words} <span class="quiet group-count">{number(agents.length)}</span>
      </h2>
      {group === "quiet" ? (
        <Quiet agents={drawn} openId={openId} onOpen={openAgent} />
      ) : (
        <ul class="cards">
          {drawn.map((agent) => (
            <Unless
              key={agent.agent_id}
              same={`${agent.agent_id === openId} ${place.value.params.tenant} ${textOf(agent)}`}
            >
              {() => <Card agent={agent} isOpen={agent.agent_id === openId} onOpen={openAgent} />}
            </Unless>
          ))}
        </ul>
      )}
      {drawn.length < agents.length && (
        <Button class="agents-more" onClick={() => setParams({ more: [...more, group] })}>
          {`Show ${number(agents.length - drawn.length)} more`}
        </Button>
      )}
    </section>
  );
}
