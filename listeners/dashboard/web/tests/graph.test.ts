import assert from "node:assert/strict";
import { test } from "node:test";
import type { LinkView } from "../src/base/boards.ts";
import { BOX_HEIGHT, layout, WIDTH } from "../src/views/channels/layout.ts";

const link = (from: string, to: string, count = 1): LinkView => ({
  from_id: from,
  from_agent: from,
  to_id: to,
  to_agent: to,
  count,
});

/** Everybody writes to everybody. */
function crowd(size: number, name = ""): LinkView[] {
  const names = [...Array(size).keys()].map((each) => `${name}${each}`);
  return names.flatMap((from) => names.filter((to) => to !== from).map((to) => link(from, to)));
}

test("the boxes of a graph neither lie on each other nor leave it", () => {
  for (let size = 2; size <= 20; size += 1) {
    const { nodes, height } = layout(crowd(size, "an agent with a very long name "));
    for (const [index, node] of nodes.entries()) {
      assert.ok(node.x - node.width / 2 >= 0 && node.x + node.width / 2 <= WIDTH, `${size}: ${node.x}`);
      assert.ok(node.y - BOX_HEIGHT / 2 >= 0 && node.y + BOX_HEIGHT / 2 <= height);
      for (const other of nodes.slice(index + 1)) {
        const apart =
          Math.abs(node.x - other.x) >= (node.width + other.width) / 2 || Math.abs(node.y - other.y) >= BOX_HEIGHT;
        assert.ok(apart, `${size}: ${node.id} and ${other.id}`);
      }
    }
  }
});

test("an arrow is wider the more it is used, and there and back are two", () => {
  const { arrows, left } = layout([link("a", "b", 11), link("b", "a", 2)]);
  assert.equal(left, 0);
  assert.ok((arrows[0]?.stroke ?? 0) > (arrows[1]?.stroke ?? 9));
  assert.ok(Math.abs((arrows[0]?.x ?? 0) - (arrows[1]?.x ?? 0)) > 16, "their numbers stand apart");
});

test("what has no place in the graph is in the table, and counted", () => {
  const { nodes, arrows, left } = layout(crowd(30));
  assert.deepEqual([nodes.length, arrows.length, left], [6, 12, 30 * 29 - 12]);
});
