// Lists that keep their place while the reader is among them, and are one tab stop.

import { useEffect, useRef, useState } from "preact/hooks";

type Part = { readonly current: HTMLElement | null };

/** Whether the pointer or the focus is in a part of the page. */
export function useIsAmong(part: Part): boolean {
  const [isAmong, setAmong] = useState(false);
  useEffect(() => {
    const element = part.current;
    if (!element) return;
    let pointer = false;
    let focus = false;
    const tell = () => setAmong(pointer || focus);
    const heard: [string, () => void][] = [
      ["pointerenter", () => (pointer = true)],
      ["pointerleave", () => (pointer = false)],
      ["focusin", () => (focus = true)],
      ["focusout", () => (focus = false)],
    ].map(([name, change]) => [
      name as string,
      () => {
        (change as () => void)();
        tell();
      },
    ]);
    for (const [name, listener] of heard) element.addEventListener(name, listener);
    return () => {
      for (const [name, listener] of heard) element.removeEventListener(name, listener);
    };
  }, [part]);
  return isAmong;
}

/** Rows in groups: as they come, or, while `isHeld`, where they were; new ones at the end of their group. */
export function useArranged<T>(
  rows: readonly T[],
  keyOf: (row: T) => string,
  groupOf: (row: T) => string,
  isHeld: boolean,
): Map<string, T[]> {
  const before = useRef(new Map<string, string>());
  const found = new Map<string, T[]>();
  const put = (group: string, row: T) => {
    const list = found.get(group);
    if (list) list.push(row);
    else found.set(group, [row]);
  };
  if (isHeld) {
    const byKey = new Map(rows.map((row) => [keyOf(row), row]));
    for (const [key, group] of before.current) {
      const row = byKey.get(key);
      if (row !== undefined) put(group, row);
    }
    for (const row of rows) if (!before.current.has(keyOf(row))) put(groupOf(row), row);
  } else {
    for (const row of rows) put(groupOf(row), row);
  }
  const places = new Map<string, string>();
  for (const [group, list] of found) for (const row of list) places.set(keyOf(row), group);
  before.current = places;
  return found;
}

const STOP = "[data-stop], tbody tr[tabindex]";

/** What of a list can have the focus, in its order. */
export function stopsOf(list: HTMLElement | null): HTMLElement[] {
  return list ? [...list.querySelectorAll<HTMLElement>(STOP)] : [];
}

/** One tab stop for a list: the entry that had the focus last. Returns what `j` and `k` do. */
export function useStops(list: Part): (step: number) => void {
  const last = useRef<HTMLElement | null>(null);
  useEffect(() => {
    const heard = (event: FocusEvent) => {
      const stop = (event.target as Element).closest?.<HTMLElement>(STOP);
      if (stop) last.current = stop;
      refresh();
    };
    const refresh = () => {
      const stops = stopsOf(list.current);
      const chosen = last.current && stops.includes(last.current) ? last.current : stops[0];
      for (const stop of stops) {
        const wanted = stop === chosen ? 0 : -1;
        if (stop.tabIndex !== wanted) stop.tabIndex = wanted;
      }
    };
    refresh();
    const element = list.current;
    element?.addEventListener("focusin", heard);
    return () => element?.removeEventListener("focusin", heard);
  });
  return (step) => {
    const stops = stopsOf(list.current);
    const held = document.activeElement?.closest<HTMLElement>(STOP) ?? last.current;
    const at = held ? stops.indexOf(held) : -1;
    const next = stops[at < 0 ? (step > 0 ? 0 : stops.length - 1) : Math.max(0, Math.min(stops.length - 1, at + step))];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  };
}

/** How wide an element is, in pixels. */
export function useWidth(part: Part, otherwise: number): number {
  const [width, setWidth] = useState(otherwise);
  useEffect(() => {
    const element = part.current;
    if (!element) return;
    const watch = new ResizeObserver((entries) => {
      const measured = entries[0]?.contentRect.width ?? 0;
      if (measured) setWidth(Math.round(measured));
    });
    watch.observe(element);
    return () => watch.disconnect();
  }, [part]);
  return width;
}

/** Values of a parameter with one put in, or taken out if it was there. */
export function toggled(values: readonly string[], value: string): string[] {
  return values.includes(value) ? values.filter((each) => each !== value) : [...values, value];
}
