// The dead letters as rows with check boxes; shift and a click pick all from the last one on.

import { useRef, useState } from "preact/hooks";
import { now } from "../../base/clock.ts";
import { age, instant, many, number, UNKNOWN, visible, whole } from "../../base/format.ts";
import { href } from "../../base/router.ts";
import type { DeadLetter } from "../../base/wire.ts";
import { AgentName, ShowMore } from "../../parts/parts.tsx";
import { useRoving } from "../../parts/roving.ts";
import { KindSign } from "../../parts/Sign.tsx";
import { type Column, Table } from "../../parts/Table.tsx";

const STEP = 200;

export interface LetterRowsProps {
  letters: readonly DeadLetter[];
  picked: ReadonlySet<string>;
  onPick: (picked: ReadonlySet<string>) => void;
  /** Whether rows say which listener: they are of several. */
  withListener: boolean;
}

export function LetterRows({ letters, picked, onPick, withListener }: LetterRowsProps) {
  const [shown, setShown] = useState(STEP);
  const lastAt = useRef(0);
  const rows = letters.slice(0, shown);
  const pick = (id: string, isRange: boolean) => {
    const at = rows.findIndex((letter) => letter.id === id);
    const wanted = !picked.has(id);
    const [from, to] = isRange ? [Math.min(at, lastAt.current), Math.max(at, lastAt.current)] : [at, at];
    const next = new Set(picked);
    for (const letter of rows.slice(from, to + 1)) {
      if (wanted) next.add(letter.id);
      else next.delete(letter.id);
    }
    lastAt.current = at;
    onPick(next);
  };
  const roving = useRoving({
    name: "letter",
    keys: rows.map((letter) => letter.id),
    open: "",
    isSecond: true,
    onOpen: (id) => pick(id, false),
  });
  const count = letters.filter((letter) => picked.has(letter.id)).length;
  const all = () => onPick(count === letters.length ? new Set() : new Set(letters.map((letter) => letter.id)));
  const box: Column<DeadLetter> = {
    name: "box",
    class: "letter-box",
    head: <Box label="All of them" words="all" isChecked={count === letters.length} isPart={count > 0} onPress={all} />,
    cell: (letter) => (
      <Box
        label={`Event #${number(letter.seq)}, ${visible(letter.kind ?? "")}`}
        isChecked={picked.has(letter.id)}
        onPress={(event) => pick(letter.id, event.shiftKey)}
      />
    ),
  };
  return (
    <>
      <Table
        label="Events that were given up, the newest first"
        class="letter-rows"
        columns={[box, ...BEFORE, ...(withListener ? [LISTENER] : []), ...AFTER]}
        rows={rows}
        keyOf={(letter) => letter.id}
        row={(letter) => ({
          ...roving.row(letter.id),
          class: picked.has(letter.id) ? "is-picked" : undefined,
          onClick: (event) => {
            if (event.target instanceof Element && event.target.closest("a, input, label")) return;
            pick(letter.id, event.shiftKey);
          },
          onKeyDown: (event) => {
            if (event.target !== event.currentTarget || (event.key !== " " && event.key !== "Enter")) return;
            pick(letter.id, event.shiftKey);
            event.preventDefault();
          },
        })}
      />
      <ShowMore step={STEP} left={letters.length - shown} onMore={() => setShown(shown + STEP)} />
    </>
  );
}

function Seq({ seq }: { seq: number | null | undefined }) {
  if (typeof seq !== "number") return <span class="quiet">{UNKNOWN}</span>;
  return (
    <a class="second" href={href("log", "", { sel: [String(seq)] })}>
      #{number(seq)}
    </a>
  );
}

function Kind({ letter }: { letter: DeadLetter }) {
  const more = (letter.count ?? 1) > 1 ? ` and ${number((letter.count ?? 1) - 1)} more` : "";
  const words = `${visible(letter.kind ?? "") || UNKNOWN}${more}`;
  return (
    <span class="with-sign">
      <KindSign kind={letter.kind ?? ""} />
      <span class="cut" title={words}>
        {words}
      </span>
    </span>
  );
}

function why(letter: DeadLetter): string {
  const error = (letter.error ?? letter.reason_code ?? "").slice(0, 2000);
  return visible([letter.error_type, error].filter(Boolean).join(": "));
}

function triedAgo(letter: DeadLetter): string {
  const failedAt = instant(letter.failed_at);
  return Number.isNaN(failedAt) ? UNKNOWN : `${age(now.value - failedAt)} ago`;
}

const second = () => "second";

const BEFORE: readonly Column<DeadLetter>[] = [
  { head: "Seq", class: "letter-seq", right: true, cell: (letter) => <Seq seq={letter.seq} /> },
  { head: "Kind", class: "letter-kind", cell: (letter) => <Kind letter={letter} /> },
  { head: "Agent", class: "letter-agent", cell: (letter) => letter.agent && <AgentName name={letter.agent} /> },
];

const LISTENER: Column<DeadLetter> = {
  head: "Listener",
  class: "letter-agent",
  tone: second,
  cell: (letter) => visible(letter.listener) || "inbox",
};

const AFTER: readonly Column<DeadLetter>[] = [
  { head: "Why it failed", class: "letter-why", title: why, cell: why },
  {
    head: "Tried",
    class: "letter-tried",
    right: true,
    tone: second,
    cell: (letter) => many(letter.attempts, "try", "tries"),
  },
  {
    head: "Last try",
    class: "letter-when",
    right: true,
    tone: second,
    title: (letter) => whole(letter.failed_at),
    cell: triedAgo,
  },
];

function Box(props: {
  label: string;
  /** Where there are no heads: what the box is for. */
  words?: string;
  isChecked: boolean;
  isPart?: boolean;
  onPress: (event: MouseEvent) => void;
}) {
  return (
    <label class="box">
      <input
        type="checkbox"
        aria-label={props.label}
        checked={props.isChecked}
        indeterminate={Boolean(props.isPart) && !props.isChecked}
        onClick={props.onPress}
      />
      {props.words && <span class="box-words">{props.words}</span>}
    </label>
  );
}
