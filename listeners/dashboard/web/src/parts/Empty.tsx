// What a view shows while there is nothing: what it is, and lines to paste.

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Button } from "./parts.tsx";

export interface EmptyProps {
  title: string;
  children?: ComponentChildren;
  /** Headings and lines of code to paste. */
  code?: readonly (readonly [string, string])[];
}

export function Empty({ title, children, code = [] }: EmptyProps) {
  return (
    <section class="empty">
      <h2>{title}</h2>
      <p>{children}</p>
      {code.map(([head, lines]) => (
        <div key={head}>
          <h3>{head}</h3>
          <div class="code">
            <CopyButton text={lines} />
            {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by keyboard */}
            <pre tabIndex={0}>
              <code>{coloured(lines)}</code>
            </pre>
          </div>
        </div>
      ))}
    </section>
  );
}

/** Words of the language recede, and texts stand out. */
function coloured(lines: string): ComponentChildren[] {
  return lines.split(/("[^"]*"|\b(?:async|await|with|as|from|import|def|return)\b)/).map((part, index) => {
    if (index % 2 === 0) return part;
    return (
      <span key={index} class={part.startsWith('"') ? "code-text" : "code-word"}>
        {part}
      </span>
    );
  });
}

/** The button that was pressed last, and did it: it says so for a moment. */
const copied = signal<symbol | null>(null);

/** Copy a text; returns whether the browser did. */
export async function copy(text: string): Promise<boolean> {
  if (!text) return false;
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** The way of pages that are neither on loopback nor under TLS. */
function copyBySelection(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  const before = document.activeElement;
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (before instanceof HTMLElement) before.focus();
  return done;
}

export interface CopyButtonProps {
  /** A function for what is made only when it is wanted. */
  text: string | (() => string);
  hotkey?: string;
  words?: string;
}

export function CopyButton({ text, hotkey, words = "Copy" }: CopyButtonProps) {
  const [me] = useState(() => Symbol("button"));
  const press = async () => {
    if (!(await copy(typeof text === "string" ? text : text()))) return;
    copied.value = me;
    setTimeout(() => {
      if (copied.value === me) copied.value = null;
    }, 1500);
  };
  return (
    <Button class="copy" sign="copy" onClick={() => void press()} {...(hotkey ? { hotkey } : {})}>
      {copied.value === me ? "Copied" : words}
    </Button>
  );
}
