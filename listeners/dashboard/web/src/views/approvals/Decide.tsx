// The strip at the foot: a reason, approve, deny. `a` or `d` goes to the reason, Enter sends, Escape goes back.

import { useEffect, useRef, useState } from "preact/hooks";
import { api, type Trouble, troubleOf } from "../../base/api.ts";
import type { ApprovalView } from "../../base/boards.ts";
import { instant, visible } from "../../base/format.ts";
import type { ApprovalDetail, Decided } from "../../base/wire.ts";
import { useKeys } from "../../frame/keys.ts";
import { say } from "../../frame/say.tsx";
import { Age, Button, Key } from "../../parts/parts.tsx";
import { Sign } from "../../parts/Sign.tsx";
import { session, tenant, whyNotOperate } from "../../stream/state.ts";
import { deciders, isWaiting, verdictOf } from "./words.ts";

type Verdict = "approve" | "deny";
type Phase = { name: "looking" } | { name: "armed"; verdict: Verdict } | { name: "sending"; verdict: Verdict };

/** What was written for an approval stays while another one is looked at. */
const drafts = new Map<string, string>();
const DRAFTS_MAX = 200;

function keepDraft(id: string, text: string): void {
  drafts.delete(id);
  if (text) drafts.set(id, text);
  for (const oldest of drafts.keys()) {
    if (drafts.size <= DRAFTS_MAX) break;
    drafts.delete(oldest);
  }
}

export interface DecideProps {
  one: ApprovalView;
  detail: ApprovalDetail | null;
  onDecided: () => void;
}

export function Decide(props: DecideProps) {
  const { one, detail } = props;
  const [late, setLate] = useState<Decided | null>(null);
  const [sent, setSent] = useState<Verdict | null>(null);
  if (late !== null) return <TooLate id={one.approval_id} verdict={sent} decided={late} />;
  if (!isWaiting(one)) {
    const unsent = sent === null && drafts.has(one.approval_id);
    if (!unsent) return <Settled one={one} />;
    const decided = { by: one.decided_by, verdict: one.state, at: one.decided_at, reason: one.reason };
    return <TooLate id={one.approval_id} verdict={null} decided={decided} />;
  }
  const who = session.value;
  if (who !== null && who !== "unknown" && who.role === "read") {
    return (
      <p class="decide-words">
        You may look. To approve or deny, open this page with a token that has the role <b>operate</b>.
      </p>
    );
  }
  if (sent !== null && one.passed.length + one.failed.length > 0) {
    return (
      <p class="decide-words">
        <Sign name="ok" size={14} class="tone-quiet" /> Your answer is recorded: {one.passed.length} of {one.quorum}{" "}
        have passed it. It waits for others.
      </p>
    );
  }
  const off = whyNotOperate.value || (detail && !detail.may_decide ? detail.why_not || "You may not decide it." : "");
  return <Form {...props} off={off} onSent={setSent} onLate={setLate} />;
}

interface FormProps extends DecideProps {
  /** Why it may not be decided; empty: it may. */
  off: string;
  /** An answer is on its way; null: it did not count. */
  onSent: (verdict: Verdict | null) => void;
  onLate: (decided: Decided) => void;
}

function Form({ one, detail, off, onDecided, onSent, onLate }: FormProps) {
  const id = one.approval_id;
  const prompts = detail?.challenge?.prompts ?? [];
  const [replies, setReplies] = useState<string[]>([]);
  const quiz = useRef<HTMLDivElement>(null);
  const [reason, setReason] = useState(drafts.get(id) ?? "");
  const [phase, setPhase] = useState<Phase>({ name: "looking" });
  const [isMissing, setMissing] = useState(false);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const field = useRef<HTMLInputElement>(null);
  const shown = useRef(true);
  useEffect(
    () => () => {
      shown.current = false;
    },
    [],
  );

  const arm = (verdict: Verdict) => {
    if (off || phase.name === "sending") return;
    setMissing(false);
    setPhase({ name: "armed", verdict });
    field.current?.focus();
  };
  /** Go to the first question of the quiz that has no reply; false: all have one. */
  const goToUnreplied = (): boolean => {
    const at = prompts.findIndex((_, index) => !replies[index]?.trim());
    if (at >= 0) quiz.current?.querySelectorAll("input")[at]?.focus();
    return at >= 0;
  };
  const send = async (verdict: Verdict) => {
    if (off || phase.name === "sending") return;
    if (verdict === "deny" && !reason.trim()) {
      setMissing(true);
      field.current?.focus();
      return;
    }
    const said = verdict === "approve" ? prompts.map((_, index) => replies[index] ?? "") : [];
    if (verdict === "approve" && goToUnreplied()) return;
    setPhase({ name: "sending", verdict });
    setTrouble(null);
    onSent(verdict);
    let next: Phase = { name: "looking" };
    try {
      await api.decide(id, tenant.value, verdict, reason.trim(), said);
      keepDraft(id, "");
      say(verdict === "approve" ? "approved" : "denied", "verdict");
      field.current?.blur();
    } catch (error) {
      const failed = troubleOf(error);
      if (failed.code === "too_late" && failed.decided) onLate(failed.decided);
      else if (shown.current) {
        onSent(null);
        setTrouble(failed);
        if (failed.code === "challenge") next = { name: "armed", verdict };
      }
    }
    if (shown.current) setPhase(next);
    onDecided();
  };
  const press = (verdict: Verdict) => {
    if (phase.name === "armed" && phase.verdict === verdict) void send(verdict);
    else arm(verdict);
  };
  const back = () => {
    setPhase({ name: "looking" });
    setMissing(false);
    field.current?.closest(".decide")?.querySelector("button")?.focus();
  };
  useKeys({ a: () => arm("approve"), d: () => arm("deny") });

  const armed = phase.name === "looking" ? null : phase.verdict;
  const isSending = phase.name === "sending";
  /** What was replied was wrong: the questions are right below. */
  const isQuiz = trouble?.code === "challenge";
  return (
    <div class="decide">
      {trouble && (
        <p class="decide-trouble" role="alert">
          <Sign name="failed" size={14} class={isQuiz ? "tone-attention" : "tone-wrong"} />
          <span>
            <b>{trouble.message}</b>
            {isQuiz ? ". " : ` ${trouble.suggestion} `}Nothing was decided by this page.
          </span>
        </p>
      )}
      {armed === "approve" && prompts.length > 0 && (
        <div class="decide-quiz" ref={quiz}>
          {prompts.map((prompt, index) => (
            <label key={prompt.text} class="decide-prompt">
              <span>{visible(prompt.text)}</span>
              <span class="decide-field">
                <input
                  type="text"
                  maxLength={2000}
                  autocomplete="off"
                  spellcheck={false}
                  placeholder={prompt.choices.map(visible).join(" / ")}
                  value={replies[index] ?? ""}
                  onInput={(event) => {
                    const next = prompts.map((_, at) => replies[at] ?? "");
                    next[index] = event.currentTarget.value;
                    setReplies(next);
                  }}
                  onKeyDown={(event) => {
                    if (event.isComposing) return;
                    if (event.key === "Enter") void send("approve");
                    else if (event.key === "Escape") back();
                    else return;
                    event.preventDefault();
                  }}
                />
              </span>
            </label>
          ))}
        </div>
      )}
      <div class="decide-field">
        <input
          ref={field}
          type="text"
          maxLength={2000}
          placeholder="Reason, which the agent and the log will see"
          aria-label="Reason, which the agent and the log will see"
          aria-describedby="decide-hint"
          aria-invalid={isMissing}
          autocomplete="off"
          value={reason}
          onInput={(event) => {
            setReason(event.currentTarget.value);
            keepDraft(id, event.currentTarget.value);
            setMissing(false);
          }}
          onKeyDown={(event) => {
            if (event.isComposing) return;
            if (event.key === "Enter" && phase.name === "armed") void send(phase.verdict);
            else if (event.key === "Escape") back();
            else return;
            event.preventDefault();
          }}
        />
        <span id="decide-hint" class={isMissing ? "attention" : "quiet"}>
          {isMissing ? "a denial needs a reason" : hint(armed, prompts.length)}
        </span>
      </div>
      <div class="decide-row">
        {armed !== "deny" && (
          <Button look="filled" large off={isSending ? "It is being sent." : off} onClick={() => press("approve")}>
            Approve <Key>{armed ? "Enter" : "a"}</Key>
          </Button>
        )}
        {armed !== "approve" && (
          <Button class="decide-deny" large off={isSending ? "It is being sent." : off} onClick={() => press("deny")}>
            Deny <Key>{armed ? "Enter" : "d"}</Key>
          </Button>
        )}
        {armed && !isSending && (
          <Button large onClick={back}>
            Back <Key>esc</Key>
          </Button>
        )}
        <p class="decide-note">{off || <Note />}</p>
      </div>
    </div>
  );
}

function Note() {
  const who = session.value;
  const person = who !== null && who !== "unknown" ? visible(who.person) : "";
  return <>{person && `As ${person}. `}A verdict is final and is on disk before the agent acts.</>;
}

function hint(armed: Verdict | null, questions: number): string {
  if (armed === "approve") return questions ? "Enter approves, when all is replied" : "Enter approves";
  if (armed === "deny") return "Enter denies";
  return "needed to deny";
}

/** Who decided, and when: of one that no longer waits. */
function Settled({ one }: { one: ApprovalView }) {
  const { sign, tone } = verdictOf(one.state);
  const by = one.state === "expired" && !one.decided_by.length ? "" : ` by ${deciders(one.decided_by)}`;
  return (
    <p class="decide-words">
      <Sign name={sign} size={14} class={`tone-${tone}`} />{" "}
      <span>
        {visible(one.state)}
        {by} <Age at={one.decided_at} />
        {one.reason && `: “${visible(one.reason)}”`}
      </span>
    </p>
  );
}

/** An answer that came too late: who was faster, and what was written. */
function TooLate({ id, verdict, decided }: { id: string; verdict: Verdict | null; decided: Decided }) {
  const reason = drafts.get(id) ?? "";
  const head = verdict === "approve" ? "Not approved:" : verdict === "deny" ? "Not denied by you:" : "";
  const done = decided.verdict === "approve" ? "approved" : decided.verdict === "deny" ? "denied" : decided.verdict;
  const isKnown = !Number.isNaN(instant(decided.at));
  return (
    <div class="decide" role="status">
      <p class="decide-words">
        <Sign name="late" size={14} class="tone-attention" />{" "}
        <span>
          {head && <b>{head}</b>} {decided.by.length ? `${visible(decided.by.join(", "))} ${visible(done)} it` : "it "}
          {decided.by.length ? "" : visible(done)} {isKnown && <Age at={decided.at} />}.
          {decided.reason && ` “${visible(decided.reason)}”`}
          {reason && " Your reason is kept below."}
        </span>
      </p>
      {reason && (
        <div class="decide-field">
          <input type="text" readOnly aria-label="Your reason" value={reason} />
        </div>
      )}
    </div>
  );
}
