// What a view says when there is nothing to show yet, or no answer.

import { useEffect, useState } from "preact/hooks";
import type { Trouble } from "../base/api.ts";
import type { Reading } from "../base/board.ts";
import { Button } from "./parts.tsx";
import { Sign } from "./Sign.tsx";

export function TroubleNote({ trouble, onAgain }: { trouble: Trouble; onAgain?: () => void }) {
  return (
    <div class="note" role="alert">
      <Sign name="failed" class="tone-wrong" size={14} />
      <p>
        <b>{trouble.message}</b> {trouble.suggestion}
      </p>
      {onAgain && <Button onClick={onAgain}>Try again</Button>}
    </div>
  );
}

const SLOW_MS = 300;

/** What is waited for, once it has taken a moment. */
export function Waiting({ what }: { what: string }) {
  const [isSlow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), SLOW_MS);
    return () => clearTimeout(timer);
  }, []);
  return isSlow ? <p class="note quiet">Waiting for {what}.</p> : null;
}

/** What stands in place of a reading that has no data: what is waited for, or what went wrong. */
export function Unread({ reading, what }: { reading: Reading<unknown>; what: string }) {
  if (reading.trouble) return <TroubleNote trouble={reading.trouble} onAgain={reading.again} />;
  return reading.isSlow ? <p class="note quiet">Waiting for {what}.</p> : null;
}

/** Beside contents that a person may not see. */
export function HiddenNote() {
  return (
    <p class="note">
      <Sign name="refused" size={14} />
      <span>
        Contents are hidden from you; kinds, names, times and outcomes are shown. Who runs the dashboard can show them:
        see show_content in its guide.
      </span>
    </p>
  );
}
