// Rows as one tab stop: j and k go from one to the next, and, where a drawer is open, take it along.

import { useEffect, useRef, useState } from "preact/hooks";
import { useKeys } from "../frame/keys.ts";

export interface Roving {
  /** What a row has to have. */
  row: (key: string) => {
    "data-row": string;
    tabIndex: number;
    onFocus: () => void;
    onClick: (event: MouseEvent) => void;
    onKeyDown: (event: KeyboardEvent) => void;
  };
  /** Give the focus to a row, if it is there. */
  focus: (key: string) => void;
}

export interface RovingOptions {
  /** Names the list within the page. */
  name: string;
  keys: readonly string[];
  /** The row that is opened; empty: none. */
  open: string;
  onOpen: (key: string) => void;
  /** Whether keys are heeded only while a row of this list has the focus: there is another list above it. */
  isSecond?: boolean;
}

function element(name: string, key: string): HTMLElement | null {
  return document.querySelector<HTMLElement>(`[data-row="${CSS.escape(`${name} ${key}`)}"]`);
}

/** Whether what was clicked does something of its own. */
function isControl(event: Event): boolean {
  const { target, currentTarget } = event;
  const control = target instanceof Element ? target.closest("a, button, input, label, select") : null;
  return control !== null && control !== currentTarget;
}

export function useRoving({ name, keys, open, onOpen, isSecond }: RovingOptions): Roving {
  const [at, setAt] = useState("");
  const held = useRef({ keys, open, at });
  held.current = { keys, open, at };
  const focus = (key: string) => {
    const found = element(name, key);
    found?.focus({ preventScroll: true });
    found?.scrollIntoView({ block: "nearest" });
  };
  const move = (by: number) => {
    if (isSecond && !document.activeElement?.closest(`[data-row^="${CSS.escape(name)} "]`)) return false;
    const { keys: all, open: opened, at: place } = held.current;
    const here = all.indexOf(all.includes(place) ? place : opened);
    const next = here < 0 ? all[by > 0 ? 0 : all.length - 1] : all[Math.max(0, Math.min(all.length - 1, here + by))];
    if (next === undefined) return false;
    setAt(next);
    if (opened) onOpen(next);
    focus(next);
    return true;
  };
  useKeys({ j: () => move(1), k: () => move(-1) });
  useEffect(() => {
    if (open) setAt(open);
  }, [open]);
  const stop = keys.includes(at) ? at : (keys[0] ?? "");
  return {
    focus,
    row: (key) => ({
      "data-row": `${name} ${key}`,
      tabIndex: key === stop ? 0 : -1,
      onFocus: () => setAt(key),
      onClick: (event) => {
        if (!isControl(event)) onOpen(key);
      },
      onKeyDown: (event) => {
        if (event.key === "Enter" && event.target === event.currentTarget) onOpen(key);
      },
    }),
  };
}
