// Where the page begins.

import { computed, effect } from "@preact/signals";
import { render } from "preact";
import { startClock } from "./base/clock.ts";
import { startRouter, takeToken, view } from "./base/router.ts";
import { startSettings } from "./base/settings.ts";
import { App } from "./frame/App.tsx";
import { startKeys } from "./frame/keys.ts";
import { signIn } from "./frame/SignIn.tsx";
import { say } from "./frame/say.tsx";
import { learnTenants } from "./frame/TopBar.tsx";
import { startLive } from "./live/model.ts";
import { askSession, connect, health, session, tick } from "./stream/state.ts";

async function start(): Promise<void> {
  const token = takeToken();
  startSettings();
  startRouter();
  startClock();
  startKeys();
  const refused = token ? await signIn(token) : "";
  if (!token || refused) await askSession();
  const root = document.getElementById("page");
  if (root) render(<App refused={refused} />, root);
  const isSignedIn = computed(() => session.value !== null);
  let hasBegun = false;
  isSignedIn.subscribe((value) => {
    if (!value) return;
    if (!hasBegun) startLive();
    hasBegun = true;
    connect();
  });
  effect(() => {
    const who = session.value;
    const name = who !== null && who !== "unknown" ? who.hub.name : "hubwire";
    const waiting = tick.value?.hub.approvals_waiting ?? 0;
    const title = view.value[0]?.toUpperCase() + view.value.slice(1);
    document.title = `${waiting ? `(${waiting}) ` : ""}${title} · ${name}`;
  });
  effect(() => {
    if (tick.value) learnTenants();
  });
  sayChanges();
}

/** Tell readers of what they would see: the connection, and what waits for a person. */
function sayChanges(): void {
  let lastHealth = "connecting";
  let lastWaiting = 0;
  effect(() => {
    const state = health.value;
    if (state === lastHealth) return;
    if (lastHealth !== "connecting" || state !== "live") say(state === "live" ? "live again" : state, "health");
    lastHealth = state;
  });
  effect(() => {
    const waiting = tick.value?.hub.approvals_waiting ?? 0;
    if (waiting > lastWaiting) say(`${waiting} ${waiting === 1 ? "approval waits" : "approvals wait"}`, "approvals");
    lastWaiting = waiting;
  });
}

void start();
