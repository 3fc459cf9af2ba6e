// What the lists of approvals have in common: who asks, and for what.

import type { ComponentChildren } from "preact";
import type { ApprovalView } from "../../base/boards.ts";
import { visible } from "../../base/format.ts";
import { AgentName } from "../../parts/parts.tsx";
import type { Column } from "../../parts/Table.tsx";
import { argumentWords } from "./words.ts";

export const AGENT: Column<ApprovalView> = {
  head: "Agent",
  class: "column-agent",
  cell: (one) => <AgentName name={one.agent} />,
};

/** The action, and what stands after it; in its title the call in full, and the reason. */
export function Call({ one, after, reason = "" }: { one: ApprovalView; after: ComponentChildren; reason?: string }) {
  const call = `${visible(one.action)}(${one.arguments ? argumentWords(one.arguments) : ""})`;
  return (
    <span class="cut call" title={reason ? `${call}: ${reason}` : call}>
      <b>{visible(one.action)}</b>
      {after}
    </span>
  );
}
