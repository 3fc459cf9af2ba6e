// Events that a listener has given up: looked through, retried, discarded.

import { useState } from "preact/hooks";
import { api, type Trouble, troubleOf } from "../../base/api.ts";
import { many, number, visible } from "../../base/format.ts";
import { useOnce } from "../../base/once.ts";
import { param, setParams } from "../../base/router.ts";
import type { Done } from "../../base/wire.ts";
import { say } from "../../frame/say.tsx";
import { Unread } from "../../parts/Notes.tsx";
import { Chip } from "../../parts/parts.tsx";
import { Sign } from "../../parts/Sign.tsx";
import { tenant } from "../../stream/state.ts";
import { LetterActions } from "./LetterActions.tsx";
import { LetterRows } from "./LetterRows.tsx";

const LIMIT = 1000;

export interface DeadLettersProps {
  /** Another number reads them anew: how many there are, as the board counts them. */
  turn: number;
  onDone: () => void;
}

/** What an action came to. */
type Answer = { words: string; failed: Done["failed"] } | { trouble: Trouble };

export function DeadLetters({ turn, onDone }: DeadLettersProps) {
  const listener = param("listener");
  const shown = `${tenant.value} ${listener}`;
  const reading = useOnce(shown, `${shown} ${turn}`, (signal) =>
    api.deadLetters({ listener, tenant: tenant.value, limit: LIMIT }, signal),
  );
  const [picked, setPicked] = useState<ReadonlySet<string>>(new Set());
  const [isBusy, setBusy] = useState(false);
  const [answer, setAnswer] = useState<Answer | null>(null);
  const letters = reading.data?.rows ?? [];
  const chosen = letters.filter((letter) => picked.has(letter.id)).map((letter) => letter.id);

  const act = async (words: string, action: (ids: string[]) => Promise<Done>) => {
    setBusy(true);
    setAnswer(null);
    try {
      const { done, failed } = await action(chosen);
      setAnswer({ words: `${number(done)} ${words}.`, failed });
      setPicked(new Set(failed.map((each) => each.id)));
      say(`${number(done)} ${words}`, "letters");
    } catch (error) {
      setAnswer({ trouble: troubleOf(error) });
    }
    setBusy(false);
    reading.again();
    onDone();
  };
  if (!reading.data) return <Unread reading={reading} what="the dead letters" />;
  // The server counts those of all listeners.
  const total = listener && letters.length < LIMIT ? letters.length : reading.data.total;
  const first = letters[0]?.listener ?? "";
  const of = listener || (letters.every((letter) => letter.listener === first) ? first : "");
  return (
    <section class="letters" aria-label="Dead letters">
      <header class="section-head letters-head">
        <h2>Dead letters</h2>
        <span class="second">
          {of && !listener && `of ${visible(of)} · `}
          {total > 0 ? number(total) : "none"}
        </span>
        {listener && <Chip name="listener" value={listener} onDrop={() => setParams({ listener: null })} />}
        <span class="space" />
        {letters.length > 0 && (
          <LetterActions
            count={chosen.length}
            isBusy={isBusy}
            onRetry={() => void act("handed over again", (ids) => api.retry(ids, tenant.value))}
            onDiscard={(reason) => void act("discarded", (ids) => api.discard(ids, tenant.value, reason))}
          />
        )}
      </header>
      {answer && <AnswerNote answer={answer} onDrop={() => setAnswer(null)} />}
      {letters.length > 0 && (
        <>
          <LetterRows letters={letters} picked={picked} onPick={setPicked} withListener={!of} />
          {total > letters.length && (
            <p class="foot-words">{many(total - letters.length, "older one is", "older ones are")} not shown.</p>
          )}
          <p class="foot-words">
            A retry hands the event to the listener again, in order. A discard is an event itself, with your name.
          </p>
        </>
      )}
    </section>
  );
}

const FAILED_SHOWN = 3;

function AnswerNote({ answer, onDrop }: { answer: Answer; onDrop: () => void }) {
  const isWrong = "trouble" in answer || answer.failed.length > 0;
  return (
    <div class="note" role={isWrong ? "alert" : "status"}>
      <Sign name={isWrong ? "failed" : "ok"} size={14} class={isWrong ? "tone-wrong" : "tone-quiet"} />
      <p>
        {"trouble" in answer ? (
          <>
            <b>{answer.trouble.message}</b> {answer.trouble.suggestion}
          </>
        ) : (
          <>
            {answer.words}
            {answer.failed.length > 0 && (
              <>
                {" "}
                <b>{many(answer.failed.length, "letter")} not:</b>{" "}
                {visible(
                  answer.failed
                    .slice(0, FAILED_SHOWN)
                    .map((each) => each.message)
                    .join(" · "),
                )}
                {answer.failed.length > FAILED_SHOWN && " …"}
              </>
            )}
          </>
        )}
      </p>
      <button type="button" class="chip-drop" aria-label="Close this note" onClick={onDrop}>
        <Sign name="close" size={10} />
      </button>
    </div>
  );
}
