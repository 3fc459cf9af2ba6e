// Retry and discard: both name their number, and discard asks for a second press.

import { useEffect, useRef, useState } from "preact/hooks";
import { number } from "../../base/format.ts";
import { useKeys } from "../../frame/keys.ts";
import { Button, Key } from "../../parts/parts.tsx";
import { whyNotOperate } from "../../stream/state.ts";

export interface LetterActionsProps {
  count: number;
  isBusy: boolean;
  onRetry: () => void;
  onDiscard: (reason: string) => void;
}

export function LetterActions({ count, isBusy, onRetry, onDiscard }: LetterActionsProps) {
  const [isAsked, setAsked] = useState(false);
  const [reason, setReason] = useState("");
  const field = useRef<HTMLInputElement>(null);
  const off = whyNotOperate.value || (isBusy ? "It is being done." : count === 0 ? "Pick letters first." : "");
  const ask = () => {
    if (!off) setAsked(true);
  };
  const back = () => {
    setAsked(false);
    field.current?.blur();
  };
  const discard = () => {
    if (off) return;
    setAsked(false);
    setReason("");
    onDiscard(reason.trim());
  };
  useKeys({ r: () => !off && onRetry(), x: ask, escape: () => (isAsked ? back() : false) });
  useEffect(() => {
    if (isAsked) field.current?.focus();
  }, [isAsked]);
  useEffect(() => {
    if (count === 0) setAsked(false);
  }, [count]);
  if (isAsked) {
    return (
      <fieldset class="discard" aria-label={`Discard ${number(count)}`}>
        <input
          ref={field}
          type="text"
          maxLength={2000}
          placeholder="Reason, which the log will see"
          aria-label="Reason, which the log will see"
          autocomplete="off"
          value={reason}
          onInput={(event) => setReason(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.isComposing) return;
            if (event.key === "Enter") discard();
            else if (event.key === "Escape") back();
            else return;
            event.preventDefault();
          }}
        />
        <Button look="filled" off={off} onClick={discard}>
          Discard {number(count)} for good <Key>Enter</Key>
        </Button>
        <Button onClick={back}>
          Back <Key>esc</Key>
        </Button>
      </fieldset>
    );
  }
  return (
    <div class="letter-actions">
      <span class="second">{count > 0 ? `${number(count)} selected` : ""}</span>
      <Button off={off} hotkey="r" onClick={onRetry}>
        Retry {count > 0 ? number(count) : ""}
      </Button>
      <Button off={off} hotkey="x" onClick={ask}>
        Discard {count > 0 ? number(count) : ""}
      </Button>
    </div>
  );
}
