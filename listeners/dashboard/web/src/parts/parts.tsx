// Small parts that all views are made of.

import type { ComponentChildren } from "preact";
import { now } from "../base/clock.ts";
import { age, coarse, instant, number, UNKNOWN, visible, whole } from "../base/format.ts";
import { agentColour } from "../base/kinds.ts";
import { Sign } from "./Sign.tsx";

export function Key({ children }: { children: ComponentChildren }) {
  return <kbd class="key">{children}</kbd>;
}

export interface ButtonProps {
  children?: ComponentChildren;
  /** `filled`: at most one in a view. `plain`: words alone, as a link. */
  look?: "quiet" | "filled" | "plain" | "sign";
  sign?: string;
  /** The key that does the same; it stands beside the words. */
  hotkey?: string;
  /** What it does, where there are no words. */
  label?: string;
  /** Why it may not be pressed: shown as its title, and said to readers. */
  off?: string;
  large?: boolean;
  pressed?: boolean;
  expanded?: boolean;
  onClick?: (event: MouseEvent) => void;
  class?: string;
  id?: string;
}

/** A button. One that is off can be reached, says why, and does nothing. */
export function Button(props: ButtonProps) {
  const { look = "quiet", off, hotkey, sign, label, large } = props;
  const classes = ["button", `button-${look}`, large && "button-large", props.class].filter(Boolean).join(" ");
  return (
    <button
      type="button"
      id={props.id}
      class={classes}
      aria-label={label || undefined}
      aria-pressed={props.pressed}
      aria-expanded={props.expanded}
      aria-disabled={off ? true : undefined}
      aria-keyshortcuts={hotkey || undefined}
      title={off || label || undefined}
      onClick={(event) => (off ? event.preventDefault() : props.onClick?.(event))}
    >
      {sign && <Sign name={sign} size={14} />}
      {props.children}
      {hotkey && <Key>{hotkey}</Key>}
    </button>
  );
}

/** A filter, or a fact about what is shown; `onDrop` takes it away. */
export function Chip({ name, value, onDrop }: { name?: string; value: string; onDrop?: () => void }) {
  return (
    <span class="chip">
      {name && <span class="chip-name">{name}</span>}
      <b class="cut" title={visible(value)}>
        {visible(value)}
      </b>
      {onDrop && (
        <button type="button" class="chip-drop" aria-label={`Drop ${name ?? ""} ${value}`} onClick={onDrop}>
          <Sign name="close" size={10} />
        </button>
      )}
    </span>
  );
}

/** Choices side by side, one of which holds. */
export function Segmented<T extends string>(props: {
  label: string;
  choices: readonly (readonly [T, string])[];
  value: T;
  onChoose: (value: T) => void;
}) {
  return (
    <fieldset class="segmented" aria-label={props.label}>
      {props.choices.map(([value, words]) => (
        <button key={value} type="button" aria-pressed={value === props.value} onClick={() => props.onChoose(value)}>
          {words}
        </button>
      ))}
    </fieldset>
  );
}

/** The name of an agent, behind the bar of its colour. */
export function AgentName({ name, href, strong }: { name: string; href?: string; strong?: boolean }) {
  const shown = visible(name);
  const words = strong ? <b>{shown}</b> : shown;
  return (
    <span class={`agent agent-${agentColour(name)} cut`} title={shown}>
      {href ? <a href={href}>{words}</a> : words}
    </span>
  );
}

/** How long ago: counts on by itself. `6 s ago`, or, with `plain`, `6 s`. */
export function Age({ at, plain }: { at: string | null | undefined; plain?: boolean }) {
  const then = instant(at);
  if (Number.isNaN(then)) return <span class="quiet">{UNKNOWN}</span>;
  const text = age(now.value - then);
  return (
    <time dateTime={at ?? ""} title={whole(at)}>
      {plain ? text : `${text} ago`}
    </time>
  );
}

/** For how long by now, in two units; counts on by itself. */
export function Since({ at }: { at: string | null | undefined }) {
  const then = instant(at);
  if (Number.isNaN(then)) return <span class="quiet">{UNKNOWN}</span>;
  return (
    <time dateTime={at ?? ""} title={`since ${whole(at)}`}>
      {coarse(now.value - then)}
    </time>
  );
}

/** Names and values below each other. A value that is not there leaves its line out. */
export function Facts({ rows }: { rows: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {rows
        .filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

/** Below a list that shows its first ones alone. */
export function ShowMore({ step, left, onMore }: { step: number; left: number; onMore: () => void }) {
  if (left <= 0) return null;
  return (
    <p class="more-row">
      <Button onClick={onMore}>
        Show {number(Math.min(step, left))} of {number(left)} more
      </Button>
    </p>
  );
}

/** A bar that is full to a share of 0 to 1. */
export function Meter({
  share,
  tone,
  label,
}: {
  share: number;
  tone?: "attention" | "accent" | undefined;
  label: string;
}) {
  const part = Math.max(0, Math.min(1, share));
  return (
    <svg
      class={`meter ${tone ? `meter-${tone}` : ""}`}
      role="img"
      aria-label={label}
      viewBox="0 0 100 3"
      preserveAspectRatio="none"
    >
      <rect class="meter-all" width="100" height="3" />
      <rect class="meter-part" width={part > 0 ? Math.max(1.5, part * 100) : 0} height="3" />
    </svg>
  );
}
