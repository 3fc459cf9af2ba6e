import { familyOf, signOf } from "../base/kinds.ts";
import type { Outcome } from "../base/wire.ts";
import { SIGNS } from "./signs.ts";

export interface SignProps {
  /** Of SIGNS. */
  name: string;
  /** What it means, for readers; without, the words beside it say it. */
  label?: string | undefined;
  size?: number;
  class?: string | undefined;
}

export function Sign({ name, label, size = 16, class: extra }: SignProps) {
  const parts = SIGNS[name] ?? SIGNS.own ?? [];
  const named = label ? { role: "img" as const, "aria-label": label } : { "aria-hidden": "true" as const };
  return (
    <svg class={extra ? `sign ${extra}` : "sign"} width={size} height={size} viewBox="0 0 16 16" {...named}>
      {label && <title>{label}</title>}
      {parts.map((part) =>
        part.startsWith("●") ? <path key={part} class="solid" d={part.slice(1)} /> : <path key={part} d={part} />,
      )}
    </svg>
  );
}

/** The sign of a kind, in the colour of its family. */
export function KindSign({ kind, size = 14, label }: { kind: string; size?: number; label?: string }) {
  return <Sign name={signOf(kind)} size={size} label={label} class={`family-${familyOf(kind)}`} />;
}

const OUTCOMES: Record<Outcome, [string, string]> = {
  ok: ["quiet", "ok"],
  failed: ["wrong", "failed"],
  late: ["wrong", "not kept in time"],
  expired: ["attention", "expired"],
  refused: ["attention", "refused"],
  denied: ["attention", "denied"],
  abandoned: ["attention", "abandoned"],
  open: ["accent", "open"],
};

export function OutcomeSign({ outcome, size = 14 }: { outcome: Outcome; size?: number }) {
  const [tone, label] = OUTCOMES[outcome] ?? ["quiet", outcome];
  return <Sign name={outcome} size={size} label={label} class={`tone-${tone}`} />;
}

const STATES: Record<string, [string, string]> = {
  failing: ["wrong", "Failing"],
  waits_for_person: ["attention", "Waits for a person"],
  silent: ["attention", "Silent"],
  working: ["accent", "Working"],
  waits_for_agent: ["text-2", "Waits for an agent"],
  idle: ["quiet", "Idle"],
  gone: ["quiet", "Gone"],
};

/** What a state of an agent is called, and its tone: `wrong`, `attention`, `accent`, `text-2`, `quiet`. */
export function agentState(state: string): { tone: string; words: string } {
  const [tone, words] = STATES[state] ?? ["quiet", state];
  return { tone, words };
}

/** The sign of a state; `label` where no words stand beside it. */
export function StateSign({ state, size = 14, label }: { state: string; size?: number; label?: string }) {
  return (
    <Sign name={state in STATES ? state : "idle"} size={size} label={label} class={`tone-${agentState(state).tone}`} />
  );
}
