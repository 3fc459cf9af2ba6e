// What there is to know of one agent: facts first, then its newest events, then where to go on.

import { api } from "../../base/api.ts";
import { useBoardOne, useReading } from "../../base/board.ts";
import type { AgentView } from "../../base/boards.ts";
import { clock, many, money, number, UNKNOWN, visible } from "../../base/format.ts";
import { goView, href } from "../../base/router.ts";
import { Drawer, DrawerTitle } from "../../frame/Drawer.tsx";
import { useKeys } from "../../frame/keys.ts";
import { Unread } from "../../parts/Notes.tsx";
import { Provenance } from "../../parts/Provenance.tsx";
import { Age, AgentName, Button, Facts, Since } from "../../parts/parts.tsx";
import { agentState, KindSign, OutcomeSign, StateSign } from "../../parts/Sign.tsx";
import { ChannelLink } from "../ChannelLink.tsx";
import { doingWords, FamilySign, whyWords } from "./Card.tsx";
import { ErrorBars } from "./ErrorBars.tsx";

const EVENTS = 12;

export function AgentDrawer({ agentId, onClose }: { agentId: string; onClose: () => void }) {
  const reading = useBoardOne<AgentView>("agents", agentId);
  const agent = reading.data;
  const live = () => goView("live", "", { agent: [agentId] });
  useKeys({ l: live });
  return (
    <Drawer
      label={`Agent ${agent ? visible(agent.name) : ""}`}
      head={<DrawerTitle>{agent ? <AgentName name={agent.name} strong /> : "Agent"}</DrawerTitle>}
      onClose={onClose}
      moves
    >
      {agent === null ? <Unread reading={reading} what="this agent" /> : <About agent={agent} />}
      {agent && (
        <>
          <NewestEvents agentId={agentId} />
          <div class="drawer-part buttons">
            <Button onClick={live} hotkey="l">
              Show in Live
            </Button>
            <Button onClick={() => goView("runs", "", { text: [agent.name] })}>Its runs</Button>
          </div>
        </>
      )}
    </Drawer>
  );
}

function About({ agent }: { agent: AgentView }) {
  const { doing } = agent;
  const { tone, words } = agentState(agent.state);
  const why = agent.why ? visible(agent.why) : whyWords(agent);
  return (
    <>
      <div class="drawer-part">
        <p class={`agent-now tone-${tone}`}>
          <StateSign state={agent.state} /> <b>{words}</b>{" "}
          {agent.since_at && (
            <span class="quiet">
              <Since at={agent.since_at} />
            </span>
          )}
        </p>
        {why && <p class={agent.state === "failing" ? "wrong wrapped" : "second wrapped"}>{why}</p>}
      </div>
      <div class="drawer-part">
        <Facts
          rows={[
            [
              "Now",
              doing && (
                <span class="wrapped">
                  <FamilySign family={doing.family} label={doing.family} /> {doingWords(doing)}{" "}
                  <span class="quiet">
                    for <Since at={doing.since_at} />
                  </span>
                </span>
              ),
            ],
            ["Channel", doing?.channel_id && <ChannelLink key="channel" channelId={doing.channel_id} />],
            ["Inbox", `${number(agent.inbox)}${agent.inbox_cap ? ` of ${number(agent.inbox_cap)}` : ""}`],
            ["In flight", `${many(agent.in_flight, "turn")}, ${many(agent.calls_open, "call")}`],
            [
              "Errors",
              <span key="errors" class="errors-fact">
                {`${number(agent.errors)} in 15 minutes`}{" "}
                <ErrorBars minutes={agent.errors_by_minute} isWrong={agent.state === "failing"} />
              </span>,
            ],
            ["Tokens", `${number(agent.input_tokens)} in, ${number(agent.output_tokens)} out`],
            ["Cost", agent.cost_usd === null || agent.cost_usd === undefined ? UNKNOWN : money(agent.cost_usd)],
            ["Can", agent.capabilities.map(visible).join(", ")],
            ["Tenant", agent.tenant && visible(agent.tenant)],
            ["Last seen", <Age key="seen" at={agent.last_seen_at} />],
            ["Registered", agent.is_registered ? "yes" : "no"],
            ["Id", <code key="id">{visible(agent.agent_id)}</code>],
          ]}
        />
      </div>
    </>
  );
}

function NewestEvents({ agentId }: { agentId: string }) {
  const reading = useReading(`events of ${agentId}`, (signal) =>
    api.events({ agent: agentId, newest_first: true, limit: EVENTS }, signal),
  );
  const rows = reading.data?.rows ?? [];
  return (
    <div class="drawer-part">
      <h2>Newest events</h2>
      {reading.data === null && <Unread reading={reading} what="its events" />}
      {reading.data && rows.length === 0 && <p class="quiet">None that is kept.</p>}
      <ol class="newest">
        {rows.map((row) => (
          <li key={row.seq}>
            <a href={href("live", "", { sel: [`${row.seq}`] })} title={visible(row.kind)}>
              <span class="quiet">{clock(row.at)}</span>
              <KindSign kind={row.kind} label={row.kind} />
              <span
                class={`cut ${row.meaning === "wrong" ? "wrong" : row.meaning === "attention" ? "attention" : "plain"}`}
              >
                <Provenance words={row.provenance} />
                {visible(row.words || row.kind)}
              </span>
              {row.outcome && row.outcome !== "ok" && row.outcome !== "open" && <OutcomeSign outcome={row.outcome} />}
            </a>
          </li>
        ))}
      </ol>
    </div>
  );
}
