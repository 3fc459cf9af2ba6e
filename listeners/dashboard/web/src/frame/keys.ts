// The keyboard. Keys do nothing while a field has focus, but Escape.

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { goView, type View } from "../base/router.ts";
import { switchTheme } from "../base/settings.ts";

/** What keys do; one that returns false has left the key to those below. */
export type Keys = Record<string, (event: KeyboardEvent) => unknown>;

const stack: { current: Keys }[] = [];

/** Heed keys while a part is shown. What came last is asked first. */
export function useKeys(keys: Keys): void {
  const held = useRef(keys);
  held.current = keys;
  useEffect(() => {
    stack.push(held);
    return () => {
      stack.splice(stack.indexOf(held), 1);
    };
  }, []);
}

export const keyListIsOpen = signal(false);

const VIEW_KEYS: Record<string, View> = {
  l: "live",
  a: "agents",
  c: "channels",
  r: "runs",
  p: "approvals",
  h: "listeners",
  v: "log",
};

/** So long after `g` the second key is waited for. */
const SECOND_MS = 1500;
let gAt = 0;

function isField(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button", "range"].includes(target.type);
  return target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement || target.isContentEditable;
}

/** Space and Enter press the button or follow the link that has focus. */
function isTaken(event: KeyboardEvent): boolean {
  const { target, key } = event;
  if (key !== " " && key !== "Enter") return false;
  return target instanceof Element && target.closest("button, a, summary, input, [role=option], tr[tabindex]") !== null;
}

function pressed(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]")) return;
  const key = event.key === " " ? "space" : event.key.length === 1 ? event.key : event.key.toLowerCase();
  if ((isField(event.target) && key !== "escape") || isTaken(event)) return;
  if (Date.now() - gAt < SECOND_MS) {
    gAt = 0;
    const to = VIEW_KEYS[key];
    if (to) {
      event.preventDefault();
      goView(to);
      return;
    }
  }
  for (const keys of [...stack].reverse()) {
    const act = keys.current[key];
    if (act && act(event) !== false) {
      event.preventDefault();
      return;
    }
  }
  if (everywhere(key)) event.preventDefault();
}

function everywhere(key: string): boolean {
  if (key === "g") gAt = Date.now();
  else if (key === "t") switchTheme();
  else if (key === "?") keyListIsOpen.value = true;
  else if (key === "/") document.getElementById("search")?.focus();
  else if (key === "escape" && isField(document.activeElement)) (document.activeElement as HTMLElement).blur();
  else return false;
  return true;
}

export function startKeys(): void {
  addEventListener("keydown", pressed);
}

/** What the list of keys shows. */
export const KEY_LIST: readonly (readonly [readonly string[], string])[] = [
  [["/"], "search"],
  [["space"], "pause, go on"],
  [["j", "k"], "next, previous"],
  [["enter"], "open"],
  [["esc"], "close, go back"],
  [["e"], "next error"],
  [["home"], "newest"],
  [["f"], "filter"],
  [["c"], "show in context"],
  [["y"], "copy JSON"],
  [["a", "d"], "approve, deny"],
  [["t"], "light, dark"],
  [["?"], "this list"],
];

export const VIEW_KEY_LIST: readonly (readonly [string, string])[] = [
  ["l", "Live"],
  ["a", "Agents"],
  ["c", "Channels"],
  ["r", "Runs"],
  ["p", "Approvals"],
  ["h", "Listeners"],
  ["v", "Log"],
];
