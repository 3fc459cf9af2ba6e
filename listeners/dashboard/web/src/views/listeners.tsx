// What listens to the hub: a row an attachment, and the events that they have given up.

import { api } from "../base/api.ts";
import { useReading } from "../base/board.ts";
import { number } from "../base/format.ts";
import { select, selectedId } from "../base/selected.ts";
import type { Listeners as Read } from "../base/wire.ts";
import { Empty } from "../parts/Empty.tsx";
import { Unread } from "../parts/Notes.tsx";
import { useRoving } from "../parts/roving.ts";
import { Sign } from "../parts/Sign.tsx";
import { Attachments } from "./listeners/Attachments.tsx";
import { DeadLetters } from "./listeners/DeadLetters.tsx";
import { Figures } from "./listeners/Figures.tsx";
import { ListenerDrawer } from "./listeners/ListenerDrawer.tsx";
import { countOf, isGivenUp, sorted } from "./listeners/words.ts";

const CODE = [
  ["Let a function hear of events", '@hub.on("tool.*")\nasync def tell(event):\n    print(event.kind, event.seq)'],
] as const;

export function Listeners() {
  const reading = useReading("listeners", api.listeners);
  const rows = sorted(reading.data?.rows ?? []);
  const selected = selectedId();
  const roving = useRoving({
    name: "listener",
    keys: rows.map((row) => row.listener),
    open: selected,
    onOpen: select,
  });
  const close = () => {
    select(null);
    setTimeout(() => roving.focus(selected), 0);
  };
  const letters = rows.reduce((sum, row) => sum + row.dead_letters, 0);
  return (
    <>
      <section class="view listeners contained" aria-label="Listeners">
        <header class="view-head">
          <h1>Listeners</h1>
          {reading.data && <span class="quiet">{number(rows.length)}</span>}
          <Told sign="failed" tone="wrong" count={countOf(rows, "suspended")} words="suspended" />
          <Told sign="failed" tone="wrong" count={rows.filter(isGivenUp).length} words="given up" />
          <Told sign="again" tone="accent" count={countOf(rows, "catching_up")} words="catching up" />
          <span class="space" />
          {reading.data && <Watermarks of={reading.data} />}
        </header>
        <div class="view-scroll">
          {!reading.data ? (
            <Unread reading={reading} what="the listeners" />
          ) : (
            <>
              <Figures read={reading.data} />
              {rows.length === 0 ? (
                <Empty title="Nothing listens to this hub." code={CODE}>
                  Each function, log and webhook that is attached has a row here: how far it is, and what it failed at.
                </Empty>
              ) : (
                <Attachments rows={rows} selected={selected} roving={roving} onDone={reading.again} />
              )}
              <DeadLetters turn={letters} onDone={reading.again} />
            </>
          )}
        </div>
      </section>
      {selected && (
        <ListenerDrawer
          row={rows.find((row) => row.listener === selected) ?? null}
          onClose={close}
          onDone={reading.again}
        />
      )}
    </>
  );
}

function Told({ sign, tone, count, words }: { sign: string; tone: string; count: number; words: string }) {
  if (!count) return null;
  return (
    <span class={`with-sign named tone-${tone}`}>
      <Sign name={sign} size={14} /> {number(count)} {words}
    </span>
  );
}

const ORDER = ["applied", "journaled", "committed", "audited", "delivered"];

/** How far events have come: each stage is behind the one before it. */
function Watermarks({ of }: { of: Read }) {
  const marks = of.watermarks ?? {};
  const known = ORDER.filter((name) => typeof marks[name] === "number");
  if (known.length === 0) return null;
  return (
    <ol class="watermarks" aria-label="How far events have come">
      {known.map((name, index) => (
        <li key={name}>
          {index > 0 && <Sign name="right" size={12} class="tone-quiet" />}
          <span class="second">{name}</span> <span class="named">{number(marks[name])}</span>
        </li>
      ))}
    </ol>
  );
}
