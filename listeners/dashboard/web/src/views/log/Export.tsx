// Export of what is shown: the same query, in one of three forms.

import { useEffect, useRef, useState } from "preact/hooks";
import { api, type Query } from "../../base/api.ts";
import { number } from "../../base/format.ts";
import { useKeys } from "../../frame/keys.ts";
import { Button } from "../../parts/parts.tsx";
import { Sign } from "../../parts/Sign.tsx";

const FORMS = [
  ["jsonl", "JSON Lines", "each record whole, one a line"],
  ["csv", "CSV", "for tables"],
  ["cloudevents", "CloudEvents", "JSON Lines of version 1.0"],
] as const;

export function Export({ query, count }: { query: Query; count: number | null }) {
  const [isOpen, setOpen] = useState(false);
  const part = useRef<HTMLDivElement>(null);
  useKeys({
    escape: () => {
      if (!isOpen) return false;
      setOpen(false);
      part.current?.querySelector("button")?.focus();
      return true;
    },
  });
  useEffect(() => {
    if (!isOpen) return;
    const away = (event: Event) => {
      if (event.target instanceof Node && !part.current?.contains(event.target)) setOpen(false);
    };
    addEventListener("pointerdown", away);
    addEventListener("focusin", away);
    return () => {
      removeEventListener("pointerdown", away);
      removeEventListener("focusin", away);
    };
  }, [isOpen]);
  return (
    <div class="export" ref={part}>
      <Button expanded={isOpen} off={count === 0 ? "There is nothing to export." : ""} onClick={() => setOpen(!isOpen)}>
        Export {count === null ? "" : number(count)} <Sign name="down" size={12} />
      </Button>
      {isOpen && (
        <ul class="menu export-menu">
          {FORMS.map(([format, name, words]) => (
            <li key={format}>
              <a href={api.exportAddress({ ...query, format })} download onClick={() => setOpen(false)}>
                <b>{name}</b> <span class="quiet">{words}</span>
              </a>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
