// The drawer at the right: it pushes, and never covers. Escape closes it, and focus goes back to where it was.

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { isNarrow } from "../base/screen.ts";
import { Button, Key } from "../parts/parts.tsx";
import { useKeys } from "./keys.ts";

/** The title of a drawer. On a narrow page, where the drawer takes the place of the view, it is that of the page. */
export function DrawerTitle({ children }: { children: ComponentChildren }) {
  return isNarrow.value ? <h1 class="cut">{children}</h1> : <h2 class="cut">{children}</h2>;
}

/** The title of a part of a drawer, a level below the drawer's own. */
export function PartTitle({ children }: { children: ComponentChildren }) {
  return isNarrow.value ? <h2 class="part-title">{children}</h2> : <h3 class="part-title">{children}</h3>;
}

export interface DrawerProps {
  /** What it shows, for readers. */
  label: string;
  head: ComponentChildren;
  children: ComponentChildren;
  /** A strip at the foot that is always visible. */
  foot?: ComponentChildren;
  wide?: boolean;
  onClose: () => void;
  /** Whether `j` and `k` go to the next and the previous one. */
  moves?: boolean;
}

export function Drawer({ label, head, children, foot, wide, onClose, moves }: DrawerProps) {
  const drawer = useRef<HTMLElement>(null);
  const before = useRef<Element | null>(null);
  useEffect(() => {
    before.current = document.activeElement;
    return () => {
      const held = document.activeElement;
      if (held === document.body || held === null || !held.isConnected)
        (before.current as HTMLElement | null)?.focus?.();
    };
  }, []);
  const close = () => {
    const isInside = drawer.current?.contains(document.activeElement);
    onClose();
    if (isInside) (before.current as HTMLElement | null)?.focus?.();
  };
  useKeys({ escape: close });
  return (
    <aside ref={drawer} class={wide ? "drawer drawer-wide" : "drawer"} aria-label={label}>
      <header class="drawer-head">
        {head}
        <span class="space" />
        {moves && (
          <span class="only-wide">
            <Key>j</Key> <Key>k</Key>
          </span>
        )}
        <Button look="sign" sign="close" label="Close" onClick={close} />
      </header>
      <div class="drawer-body">{children}</div>
      {foot && <footer class="drawer-foot">{foot}</footer>}
    </aside>
  );
}
