import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { signOf } from "../src/base/kinds.ts";
import { SIGNS } from "../src/parts/signs.ts";

// One kind of each sign, the outcomes, and the states of agents: what colours say, shapes say, too.
const KINDS = [
  "envelope.posted",
  "channel.opened",
  "inbox.full",
  "turn.started",
  "task.created",
  "model.called",
  "tool.called",
  "approval.requested",
  "expectation.violated",
  "agent.registered",
  "hub.started",
  "listener.failed",
  "log.opened",
  "order.placed",
];
const OUTCOMES = ["ok", "failed", "late", "refused", "abandoned", "open"];
const STATES = ["failing", "waits_for_person", "silent", "working", "waits_for_agent", "idle", "gone"];

function alike(names: readonly string[]): string[][] {
  const byShape = new Map<string, string[]>();
  for (const name of names) {
    const shape = JSON.stringify(SIGNS[name] ?? "missing");
    byShape.set(shape, [...(byShape.get(shape) ?? []), name]);
  }
  return [...byShape.values()].filter((group) => group.length > 1);
}

test("who sees no colour tells kinds, outcomes and states by their shapes", () => {
  assert.deepEqual(alike(KINDS.map(signOf)), []);
  assert.deepEqual(alike(OUTCOMES), []);
  assert.deepEqual(alike(STATES), []);
  assert.deepEqual(alike(["refused", "denied"]), [["refused", "denied"]], "they mean the same");
});

// --- colours ---------------------------------------------------------------------------------------------------------

type Rgb = readonly [number, number, number];

const css = readFileSync(new URL("../src/css/tokens.css", import.meta.url), "utf8");
const tokens = new Map(
  [...css.matchAll(/--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)/g)].map(([, name, light, dark]) => [
    name as string,
    { light: light as string, dark: dark as string },
  ]),
);

function rgb(name: string, theme: "light" | "dark"): Rgb {
  const hex = tokens.get(name)?.[theme] ?? assert.fail(`there is no --${name}`);
  const linear = (at: number) => {
    const part = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  };
  return [linear(1), linear(3), linear(5)];
}

function contrast(one: Rgb, other: Rgb): number {
  const [dark, light] = [one, other].map(([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b).sort((a, b) => a - b);
  return ((light as number) + 0.05) / ((dark as number) + 0.05);
}

const FAMILIES = ["talk", "work", "model", "tool", "family-control", "plumbing"];
const AGENTS = [0, 1, 2, 3, 4, 5, 6, 7].map((number) => `agent-${number}`);
// By WCAG: text needs 4.5, what is told by its shape 3.
const NEEDS: [number, readonly string[], readonly string[]][] = [
  [4.5, ["text", "text-2", "text-3", "accent"], ["surface", "page", "sunken", "hover", "accent-tint"]],
  [4.5, ["wrong", "attention"], ["surface", "page", "sunken", "hover", "accent-tint"]],
  [4.5, ["wrong"], ["wrong-tint"]],
  [4.5, ["attention", "text"], ["attention-tint"]],
  [4.5, ["on-accent"], ["accent"]],
  [4.5, ["good"], ["surface"]],
  [3, ["control", "bar-edge", "attention-fill", ...FAMILIES, ...AGENTS], ["surface"]],
  [3, FAMILIES, ["accent-tint"]],
];

test("every pair of colours in use has the contrast that it needs, in both themes", () => {
  const low: string[] = [];
  for (const theme of ["light", "dark"] as const)
    for (const [needed, fronts, backs] of NEEDS)
      for (const front of fronts)
        for (const back of backs) {
          const found = contrast(rgb(front, theme), rgb(back, theme));
          if (found < needed) low.push(`${theme}: ${front} on ${back} has ${found.toFixed(2)}`);
        }
  assert.deepEqual(low, []);
});

// Of Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency" (2009).
const SIGHTS: Record<string, readonly Rgb[]> = {
  usual: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  "without red cones": [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  "without green cones": [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  "without blue cones": [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
};

/** How a colour looks, in Oklab (Ottosson, 2020). */
function seen(colour: Rgb, sight: readonly Rgb[]): Rgb {
  const times = (rows: readonly Rgb[], [x, y, z]: Rgb) => rows.map(([a, b, c]) => a * x + b * y + c * z);
  const [r, g, b] = times(sight, colour).map((part) => Math.min(1, Math.max(0, part))) as unknown as Rgb;
  const cones = times(
    [
      [0.4122214708, 0.5363325363, 0.0514459929],
      [0.2119034982, 0.6806995451, 0.1073969566],
      [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    [r, g, b],
  ).map(Math.cbrt) as unknown as Rgb;
  return times(
    [
      [0.2104542553, 0.793617785, -0.0040720468],
      [1.9779984951, -2.428592205, 0.4505937099],
      [0.0259040371, 0.7827717662, -0.808675766],
    ],
    cones,
  ) as unknown as Rgb;
}

/** Twice what is just seen, about 0.02: shapes tell them apart as well. */
const APART = 0.045;

test("families and outcomes stay apart for who lacks a kind of cones", () => {
  const near: string[] = [];
  for (const theme of ["light", "dark"] as const)
    for (const [sight, matrix] of Object.entries(SIGHTS))
      for (const names of [
        [...FAMILIES, "wrong"],
        ["wrong", "attention-fill", "bar", "accent"],
      ])
        for (const [index, one] of names.entries())
          for (const other of names.slice(index + 1)) {
            const [left, right] = [seen(rgb(one, theme), matrix), seen(rgb(other, theme), matrix)];
            const far = Math.hypot(...left.map((part, at) => part - (right[at] as number)));
            if (far < APART) near.push(`${theme}, ${sight}: ${one} and ${other} are ${far.toFixed(3)} apart`);
          }
  assert.deepEqual(near, []);
});
