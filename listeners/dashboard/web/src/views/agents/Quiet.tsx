// Agents that have nothing to do, or have gone: a table, not cards.

import type { AgentView } from "../../base/boards.ts";
import { clock, money, number, short, UNKNOWN } from "../../base/format.ts";
import { Age, AgentName } from "../../parts/parts.tsx";
import { agentState, StateSign } from "../../parts/Sign.tsx";
import { type Column, opens, Table } from "../../parts/Table.tsx";

function Count({ value }: { value: number | null | undefined }) {
  return <span class={value ? "" : "quiet"}>{number(value)}</span>;
}

const COLUMNS: readonly Column<AgentView>[] = [
  { head: "Agent", class: "quiet-name", cell: (agent) => <AgentName name={agent.name} /> },
  {
    head: "State",
    cell: (agent) => (
      <span class="quiet quiet-state">
        <StateSign state={agent.state} /> {agentState(agent.state).words}{" "}
        {agent.state === "gone"
          ? `since ${clock(agent.since_at)}`
          : agent.since_at && <Age at={agent.since_at} plain />}
      </span>
    ),
  },
  { head: "Inbox", right: true, cell: (agent) => <Count value={agent.inbox} /> },
  { head: "Errors, 15 min", right: true, class: "quiet-errors", cell: (agent) => <Count value={agent.errors} /> },
  {
    head: "Tokens",
    right: true,
    class: "quiet-more",
    cell: ({ input_tokens, output_tokens }) => {
      const tokens = input_tokens + output_tokens;
      return tokens ? short(tokens) : <span class="quiet">{UNKNOWN}</span>;
    },
  },
  {
    head: "Cost",
    right: true,
    class: "quiet-more",
    cell: ({ cost_usd }) =>
      cost_usd === null || cost_usd === undefined ? <span class="quiet">{UNKNOWN}</span> : money(cost_usd),
  },
  {
    head: "Last seen",
    right: true,
    class: "quiet-seen",
    cell: (agent) => (
      <span class="quiet">
        <Age at={agent.last_seen_at} />
      </span>
    ),
  },
];

export function Quiet(props: { agents: readonly AgentView[]; openId: string; onOpen: (id: string) => void }) {
  return (
    <div class="quiet-table">
      <Table
        label="Agents that have nothing to do, or have gone"
        columns={COLUMNS}
        rows={props.agents}
        keyOf={(agent) => agent.agent_id}
        selected={props.openId || null}
        row={(agent) => opens(() => props.onOpen(agent.agent_id))}
      />
    </div>
  );
}
