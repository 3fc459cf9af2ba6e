// Who talks to whom, small: an arrow as wide as it is used, with its number; and the same as a table.

import type { LinkView } from "../../base/boards.ts";
import { many, number, visible } from "../../base/format.ts";
import { agentColour } from "../../base/kinds.ts";
import { AgentName } from "../../parts/parts.tsx";
import { Table } from "../../parts/Table.tsx";
import { type Arrow, BOX_HEIGHT, layout, type Node, WIDTH } from "./layout.ts";

export function Graph({ links, notShown }: { links: readonly LinkView[]; notShown: number }) {
  const { height, nodes, arrows, left } = layout(links);
  const label = arrows
    .map((each) => `${visible(each.from.name)} to ${visible(each.to.name)}: ${number(each.count)}`)
    .join(", ");
  return (
    <>
      <svg class="graph" viewBox={`0 0 ${WIDTH} ${height}`} role="img" aria-label={`Who talks to whom: ${label}`}>
        {arrows.map((each) => (
          <path key={each.key} class="graph-way" d={each.path} stroke-width={each.stroke} />
        ))}
        {arrows.map((each) => (
          <polygon key={each.key} class="graph-head" points={each.head} />
        ))}
        {nodes.map((node) => (
          <Box key={node.id} node={node} />
        ))}
        {arrows.map((each) => (
          <Count key={each.key} arrow={each} />
        ))}
      </svg>
      <details class="graph-table">
        <summary>{`As a table${left > 0 ? `, with ${many(left, "more")}`.replace("mores", "more") : ""}`}</summary>
        <Table
          label="Who talks to whom"
          columns={[
            { head: "From", class: "graph-name", cell: (link: LinkView) => <AgentName name={link.from_agent} /> },
            { head: "To", class: "graph-name", cell: (link: LinkView) => <AgentName name={link.to_agent} /> },
            { head: "Envelopes", right: true, cell: (link: LinkView) => number(link.count) },
          ]}
          rows={links}
          keyOf={(link) => `${link.from_id} ${link.to_id}`}
        />
        {notShown > 0 && <p class="quiet">{`${many(notShown, "envelope")} more between others.`}</p>}
      </details>
    </>
  );
}

function Box({ node }: { node: Node }) {
  const name = visible(node.name);
  const room = Math.floor((node.width - 22) / 6.4);
  const shown = name.length > room ? `${name.slice(0, Math.max(1, room - 1))}…` : name;
  const left = node.x - node.width / 2;
  const top = node.y - BOX_HEIGHT / 2;
  return (
    <g class={`agent-${agentColour(node.name)}`}>
      <title>{name}</title>
      <rect class="graph-box" x={left} y={top} width={node.width} height={BOX_HEIGHT} rx={6} />
      <rect class="graph-bar" x={left + 7} y={top + 6} width={3} height={BOX_HEIGHT - 12} />
      <svg x={left + 14} y={top} width={Math.max(10, node.width - 18)} height={BOX_HEIGHT} class="graph-name-box">
        <text x={2} y={BOX_HEIGHT / 2 + 4}>
          {shown}
        </text>
      </svg>
    </g>
  );
}

function Count({ arrow }: { arrow: Arrow }) {
  return (
    <text class="graph-count" x={arrow.x} y={arrow.y + 4} text-anchor="middle">
      {number(arrow.count)}
    </text>
  );
}
