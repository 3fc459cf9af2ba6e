// Where the agents of the small graph stand, and how the arrows between them go.

import type { LinkView } from "../../base/boards.ts";

export const WIDTH = 312;
export const BOX_HEIGHT = 26;
const NODES_MAX = 6;
const ARROWS_MAX = 12;
const BOX_MOST = 128;
const BOX_LEAST = 52;

export interface Node {
  id: string;
  name: string;
  x: number;
  y: number;
  /** Of its box. */
  width: number;
}

export interface Arrow {
  key: string;
  from: Node;
  to: Node;
  count: number;
  path: string;
  /** Where its number stands. */
  x: number;
  y: number;
  stroke: number;
  /** The three corners of its head. */
  head: string;
}

export interface Layout {
  height: number;
  nodes: Node[];
  arrows: Arrow[];
  /** Links that only the table has. */
  left: number;
}

/** About as wide as its name is drawn. */
function boxWidth(name: string): number {
  return Math.max(BOX_LEAST, Math.min(BOX_MOST, 26 + name.length * 6.6));
}

export function layout(links: readonly LinkView[]): Layout {
  const weight = new Map<string, { name: string; count: number }>();
  const add = (id: string, name: string, count: number) => {
    const found = weight.get(id);
    if (found) found.count += count;
    else weight.set(id, { name, count });
  };
  for (const link of links) {
    add(link.from_id, link.from_agent, link.count);
    add(link.to_id, link.to_agent, link.count);
  }
  const chosen = [...weight].sort((one, other) => other[1].count - one[1].count).slice(0, NODES_MAX);
  const height = chosen.length <= 2 ? 150 : chosen.length <= 4 ? 200 : 250;
  const nodes = chosen.map(([id, { name }], index) => placed(id, name, index, chosen.length, height));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  // Few envelopes are thin arrows, also where there is nothing to compare them with.
  const most = Math.max(...links.map((link) => link.count), 6);
  const arrows: Arrow[] = [];
  for (const link of links) {
    const from = byId.get(link.from_id);
    const to = byId.get(link.to_id);
    if (from && to && from !== to && arrows.length < ARROWS_MAX) arrows.push(arrow(from, to, link.count, most));
  }
  return { height, nodes, arrows, left: links.length - arrows.length };
}

/** Round an ellipse; the one that talks most stands at the top, and two stand below each other. */
function placed(id: string, name: string, index: number, count: number, height: number): Node {
  const width = boxWidth(name);
  // Five stand where six would, without the lowest: at even distances two of them would lie on each other.
  const share = count === 5 ? (index < 3 ? index : index + 1) / 6 : index / count;
  const turn = share * 2 * Math.PI - Math.PI / 2;
  const half = WIDTH / 2 - BOX_MOST / 2 - 2;
  const x = count === 1 ? WIDTH / 2 : WIDTH / 2 + Math.cos(turn) * half;
  const y = height / 2 + Math.sin(turn) * (height / 2 - BOX_HEIGHT / 2 - 3);
  return { id, name, width, x: Math.round(x), y: Math.round(y) };
}

interface Point {
  x: number;
  y: number;
}

/** Where the way from a point to the middle of a box meets its border. */
function border(node: Node, towards: Point, gap: number): Point {
  const dx = towards.x - node.x;
  const dy = towards.y - node.y;
  const across = dx === 0 ? Number.POSITIVE_INFINITY : (node.width / 2 + gap) / Math.abs(dx);
  const along = dy === 0 ? Number.POSITIVE_INFINITY : (BOX_HEIGHT / 2 + gap) / Math.abs(dy);
  const share = Math.min(across, along, 1);
  return { x: node.x + dx * share, y: node.y + dy * share };
}

function arrow(from: Node, to: Node, count: number, most: number): Arrow {
  const dx = to.x - from.x;
  const dy = to.y - from.y;
  const length = Math.hypot(dx, dy) || 1;
  // To the right of its way, so that there and back are two arrows.
  const bend = Math.min(34, 14 + length / 8);
  const middle = { x: (from.x + to.x) / 2 - (dy / length) * bend, y: (from.y + to.y) / 2 + (dx / length) * bend };
  const start = border(from, middle, 2);
  const end = border(to, middle, 3);
  const stroke = 1 + 2.5 * (count / most);
  const size = 4 + stroke;
  const angle = Math.atan2(end.y - middle.y, end.x - middle.x);
  const tip = (turn: number) =>
    `${round(end.x - size * Math.cos(angle + turn))},${round(end.y - size * Math.sin(angle + turn))}`;
  const shaft = { x: end.x - size * 0.7 * Math.cos(angle), y: end.y - size * 0.7 * Math.sin(angle) };
  return {
    key: `${from.id}\n${to.id}`,
    from,
    to,
    count,
    stroke,
    path: `M${round(start.x)} ${round(start.y)}Q${round(middle.x)} ${round(middle.y)} ${round(shaft.x)} ${round(shaft.y)}`,
    head: `${round(end.x)},${round(end.y)} ${tip(0.45)} ${tip(-0.45)}`,
    x: round((start.x + 2 * middle.x + end.x) / 4),
    y: round((start.y + 2 * middle.y + end.y) / 4),
  };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
