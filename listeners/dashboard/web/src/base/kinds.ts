// Which family a kind is of, and which sign it has.

export type Family = "talk" | "work" | "model" | "tool" | "control" | "plumbing" | "own";

const DOMAINS: Record<string, [Family, string]> = {
  envelope: ["talk", "envelope"],
  channel: ["talk", "channel"],
  inbox: ["talk", "inbox"],
  topic: ["talk", "inbox"],
  subscription: ["talk", "inbox"],
  turn: ["work", "turn"],
  task: ["work", "task"],
  model: ["model", "model"],
  tool: ["tool", "tool"],
  approval: ["control", "approval"],
  policy: ["control", "approval"],
  sandbox: ["control", "approval"],
  expectation: ["control", "expectation"],
  agent: ["plumbing", "agent"],
  actor: ["plumbing", "agent"],
  group: ["plumbing", "agent"],
  hub: ["plumbing", "hub"],
  state: ["plumbing", "hub"],
  snapshot: ["plumbing", "hub"],
  listener: ["plumbing", "listener"],
  mailbox: ["plumbing", "listener"],
  log: ["plumbing", "log"],
  audit: ["plumbing", "log"],
  journal: ["plumbing", "log"],
};

export function domainOf(kind: string): string {
  const dot = kind.indexOf(".");
  return dot < 0 ? kind : kind.slice(0, dot);
}

export function familyOf(kind: string): Family {
  return DOMAINS[domainOf(kind)]?.[0] ?? "own";
}

/** The name of the sign of a kind. */
export function signOf(kind: string): string {
  return DOMAINS[domainOf(kind)]?.[1] ?? "own";
}

/** Which of the eight colours an agent has: by its name, the same on every page. */
export function agentColour(name: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < name.length; index += 1) {
    hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193);
  }
  hash ^= hash >>> 15;
  return (hash >>> 0) % 8;
}
