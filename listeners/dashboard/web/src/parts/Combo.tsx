// A field with a list of what may be meant: arrows choose, Enter takes, Escape leaves.

import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";

export interface Choice {
  key: string;
  /** A heading above the first of its group. */
  group?: string;
  words: ComponentChildren;
  /** At the right end: a count. */
  side?: ComponentChildren;
  act: () => void;
}

export interface ComboProps {
  id: string;
  label: string;
  placeholder: string;
  /** What may be chosen while this is in the field. */
  choices: (text: string) => readonly Choice[];
  onFocus?: () => void;
  /** After a choice, and on Escape in an empty field. */
  onDone?: () => void;
  focused?: boolean;
}

export function Combo({ id, label, placeholder, choices, onFocus, onDone, focused }: ComboProps) {
  const input = useRef<HTMLInputElement>(null);
  const [text, setText] = useState("");
  const [isOpen, setOpen] = useState(false);
  const [chosen, setChosen] = useState(0);
  const list = isOpen ? choices(text.trim()) : [];
  const current = Math.min(chosen, list.length - 1);
  const take = (choice: Choice | undefined) => {
    if (!choice) return;
    setText("");
    setChosen(0);
    setOpen(false);
    input.current?.blur();
    choice.act();
    onDone?.();
  };
  const press = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") setChosen(Math.min(current + 1, list.length - 1));
    else if (event.key === "ArrowUp") setChosen(Math.max(current - 1, 0));
    else if (event.key === "Enter") take(list[current]);
    else if (event.key === "Escape" && text) setText("");
    else if (event.key === "Escape") {
      input.current?.blur();
      onDone?.();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <>
      <input
        id={id}
        ref={(element) => {
          if (element && focused && input.current === null) element.focus();
          input.current = element;
        }}
        type="text"
        role="combobox"
        aria-expanded={list.length > 0}
        aria-controls={`${id}-list`}
        aria-activedescendant={list.length > 0 ? `${id}-${current}` : undefined}
        aria-label={label}
        placeholder={placeholder}
        autocomplete="off"
        spellcheck={false}
        value={text}
        onFocus={() => {
          setOpen(true);
          onFocus?.();
        }}
        onBlur={() => setOpen(false)}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setChosen(0);
          setOpen(true);
        }}
        onKeyDown={press}
      />
      <div id={`${id}-list`} role="listbox" aria-label={label} class={list.length ? "menu combo-list" : "unseen"}>
        {list.map((choice, index) => (
          <div
            key={choice.key}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === current}
            data-group={choice.group !== list[index - 1]?.group ? choice.group : undefined}
            ref={index === current ? (element) => element?.scrollIntoView({ block: "nearest" }) : null}
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => take(choice)}
          >
            <span class="combo-words">{choice.words}</span>
            {choice.side !== undefined && <span class="quiet">{choice.side}</span>}
          </div>
        ))}
      </div>
    </>
  );
}
