// The dead letters as rows with check boxes; shift and a click pick all from the last one on.

import { useRef, useState } from "preact/hooks";
import { now } from "../../base/clock.ts";
import { age, instant, many, number, UNKNOWN, visible, whole } from "../../base/format.ts";
import { href } from "../../base/router.ts";
import type { DeadLetter } from "../../base/wire.ts";
import { AgentName, Button } from "../../parts/parts.tsx";
import { useRoving } from "../../parts/roving.ts";
import { KindSign } from "../../parts/Sign.tsx";

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
  return (
    <>
      <table class="table letter-rows">
        <caption class="unseen">Events that were given up, the newest first</caption>
        <thead>
          <tr>
            <th scope="col" class="letter-box">
              <Box
                label="All of them"
                words="all"
                isChecked={count === letters.length}
                isPart={count > 0}
                onPress={all}
              />
            </th>
            <th scope="col" class="right letter-seq">
              Seq
            </th>
            <th scope="col" class="letter-kind">
              Kind
            </th>
            <th scope="col" class="letter-agent">
              Agent
            </th>
            {withListener && (
              <th scope="col" class="letter-agent">
                Listener
              </th>
            )}
            <th scope="col">Why it failed</th>
            <th scope="col" class="right letter-tried">
              Tried
            </th>
            <th scope="col" class="right letter-when">
              Last try
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((letter) => {
            const row = roving.row(letter.id);
            return (
              <tr
                key={letter.id}
                {...row}
                class={picked.has(letter.id) ? "is-picked" : undefined}
                onClick={(event) => {
                  if (event.target instanceof Element && event.target.closest("a, input")) return;
                  pick(letter.id, event.shiftKey);
                }}
                onKeyDown={(event) => {
                  if (event.target !== event.currentTarget || (event.key !== " " && event.key !== "Enter")) return;
                  pick(letter.id, event.shiftKey);
                  event.preventDefault();
                }}
              >
                <Letter letter={letter} withListener={withListener}>
                  <Box
                    label={`Event #${number(letter.seq)}, ${visible(letter.kind ?? "")}`}
                    isChecked={picked.has(letter.id)}
                    onPress={(event) => pick(letter.id, event.shiftKey)}
                  />
                </Letter>
              </tr>
            );
          })}
        </tbody>
      </table>
      {letters.length > shown && (
        <p class="more-row">
          <Button onClick={() => setShown(shown + STEP)}>
            Show {number(Math.min(STEP, letters.length - shown))} of {number(letters.length - shown)} more
          </Button>
        </p>
      )}
    </>
  );
}

function Letter(props: { letter: DeadLetter; withListener: boolean; children: preact.ComponentChildren }) {
  const { letter, withListener, children } = props;
  const failedAt = instant(letter.failed_at);
  const kind = visible(letter.kind ?? "");
  const error = visible(
    [letter.error_type, (letter.error ?? letter.reason_code ?? "").slice(0, 2000)].filter(Boolean).join(": "),
  );
  const more = (letter.count ?? 1) > 1 ? ` and ${number((letter.count ?? 1) - 1)} more` : "";
  return (
    <>
      <td class="letter-box">{children}</td>
      <td class="right letter-seq">
        {typeof letter.seq === "number" ? (
          <a class="second" href={href("log", "", { sel: [String(letter.seq)] })}>
            #{number(letter.seq)}
          </a>
        ) : (
          <span class="quiet">{UNKNOWN}</span>
        )}
      </td>
      <td class="letter-kind">
        <span class="with-sign">
          <KindSign kind={letter.kind ?? ""} />
          <span class="cut" title={kind + more}>
            {kind || UNKNOWN}
            {more}
          </span>
        </span>
      </td>
      <td class="letter-agent">{letter.agent && <AgentName name={letter.agent} />}</td>
      {withListener && <td class="letter-agent second">{visible(letter.listener) || "inbox"}</td>}
      <td class="letter-why" title={error}>
        {error}
      </td>
      <td class="right second letter-tried">{many(letter.attempts, "try", "tries")}</td>
      <td class="right second letter-when" title={whole(letter.failed_at)}>
        {Number.isNaN(failedAt) ? UNKNOWN : `${age(now.value - failedAt)} ago`}
      </td>
    </>
  );
}

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
