// What stands in place of agents where there are none to show.

import { many, number } from "../../base/format.ts";
import { setParams } from "../../base/router.ts";
import { Empty } from "../../parts/Empty.tsx";
import { Button } from "../../parts/parts.tsx";
import { agentState } from "../../parts/Sign.tsx";

const REGISTER = `planner = await hub.agents.register("planner")
async for delivery in planner.inbox():
    await delivery.ack()`;

export function NoAgents() {
  return (
    <Empty title="No agent is known yet." code={[["Register one, and let it read its inbox", REGISTER]]}>
      An agent shows here as soon as it is registered: its state, what it does now, and how full its inbox is.
    </Empty>
  );
}

export function NoneMatch({ states, all }: { states: readonly string[]; all: number }) {
  const words = states.map((state) => agentState(state).words.toLowerCase()).join(", ");
  return (
    <div class="note">
      <p>{`No agent is ${words} now. This filter hides ${many(all, "agent")}.`}</p>
      <Button onClick={() => setParams({ state: null })}>{`Show all ${number(all)}`}</Button>
    </div>
  );
}
