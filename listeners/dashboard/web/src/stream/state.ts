// What the page knows of its connection and of the hub as a whole.

import { batch, computed, signal } from "@preact/signals";
import { api } from "../base/api.ts";
import { learnTime, now } from "../base/clock.ts";
import { place } from "../base/router.ts";
import type { Gap, Row, Session, Stale, Tick } from "../base/wire.ts";
import { Client } from "./client.ts";
import type { Told } from "./connection.ts";
import { RowStore } from "./rows.ts";

/** After so long without the hub, what is shown may have changed. */
const STALE_MS = 30_000;

export type Link = { state: "connecting" } | { state: "live" } | { state: "lost"; since: number; againAt: number };

export const session = signal<Session | null | "unknown">("unknown");
/** Whether people sign in at the program that serves the page, and not here with a token. */
export const hasOtherLogin = signal(false);
export const link = signal<Link>({ state: "connecting" });
export const tick = signal<Tick | null>(null);
/** Another hub than before answers: the ids of both. */
export const otherHub = signal<{ is: string; was: string } | null>(null);
/** Events that did not reach this page: it fell behind. */
export const droppedHere = signal(0);

/** `live`, `connecting`, `reconnecting`, or, after half a minute, `stale`. */
export const health = computed(() => {
  const { value } = link;
  if (value.state !== "lost") return value.state;
  return now.value - value.since >= STALE_MS ? "stale" : "reconnecting";
});

/** Whether buttons that do what cannot be undone may be pressed; else why not. */
export const whyNotOperate = computed(() => {
  const { value } = session;
  if (value === null || value === "unknown") return "You are not signed in.";
  if (value.source === "log") return "This page shows a log: there is no running hub to do it.";
  if (value.role === "read") return "Your token has the role read. This needs operate.";
  if (health.value === "stale") return "What you see is stale: wait until the hub answers again.";
  return "";
});

export const tenant = computed(() => place.value.params.tenant?.[0] ?? "");

export const rows = new RowStore();
type Listener = (fresh: readonly Row[]) => void;
const listeners = new Set<{ rows: Listener; cleared: () => void }>();

/** Be called with new rows, the oldest first, and when all were dropped. Returns what ends it. */
export function onRows(listener: { rows: Listener; cleared: () => void }): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

let client: Client | null = null;
let lastTenant: string | null = null;
/** Of the last row or gap that came. */
let cursor = "";

/** Listen to the stream; after a new sign-in, anew. */
export function connect(): void {
  if (client !== null) {
    client.again();
    return;
  }
  client = new Client(hear, () => ({ cursor, seq: rows.lastSeq }));
  tenant.subscribe((wanted) => {
    if (lastTenant !== null) clear();
    lastTenant = wanted;
    link.value = { state: "connecting" };
    client?.listen(wanted);
  });
}

export function connectNow(): void {
  client?.again();
}

function clear(): void {
  rows.clear();
  cursor = "";
  droppedHere.value = 0;
  for (const listener of listeners) listener.cleared();
}

function hear(told: Told): void {
  batch(() => {
    if (told.type === "open") opened();
    else if (told.type === "lost") lost(told);
    else take(told.type, told.data);
    if (told.type === "rows" || told.type === "gap") cursor = told.cursor;
  });
}

function opened(): void {
  link.value = { state: "live" };
  if (session.peek() === "unknown") void askSession();
}

function lost(told: Told & { type: "lost" }): void {
  const { value } = link;
  link.value = {
    state: "lost",
    since: value.state === "lost" ? value.since : now.peek(),
    againAt: told.againAt,
  };
  if (told.refused) void askSession();
}

function take(type: "rows" | "gap" | "tick" | "stale", data: string): void {
  let body: unknown;
  try {
    body = JSON.parse(data);
  } catch {
    return;
  }
  if (link.value.state !== "live") link.value = { state: "live" };
  if (type === "rows") takeRows(body as Row[]);
  else if (type === "gap") takeGap(body as Gap);
  else if (type === "tick") takeTick(body as Tick);
  else takeStale(body as Stale);
}

function takeRows(body: Row[]): void {
  const fresh = rows.add(body);
  if (fresh.length) for (const listener of listeners) listener.rows(fresh);
}

function takeGap(gap: Gap): void {
  if (gap.code === "behind" && gap.last_seq > rows.lastSeq) droppedHere.value += gap.last_seq - gap.first_seq + 1;
  rows.addGap(gap);
  for (const listener of listeners) listener.rows([]);
}

function takeTick(body: Tick): void {
  learnTime(body.now);
  tick.value = body;
  const who = session.peek();
  // A log that was empty when the page asked has a hub by now.
  if (who !== null && who !== "unknown" && who.hub.id === "" && body.hub.hub !== "") void askSession();
}

function takeStale(stale: Stale): void {
  if (stale.code === "other_hub") {
    clear();
    otherHub.value = { is: stale.is ?? "", was: stale.was ?? "" };
    void askSession();
  } else if (stale.code === "cursor") {
    clear();
  }
}

/** Ask who we are. Not signed in: null. A server that does not answer changes nothing. */
export async function askSession(): Promise<void> {
  try {
    session.value = await api.session();
  } catch (error) {
    if (!(error instanceof Error && "status" in error && error.status === 401)) return;
    hasOtherLogin.value = "code" in error && error.code === "sign_in_elsewhere";
    session.value = null;
  }
}
