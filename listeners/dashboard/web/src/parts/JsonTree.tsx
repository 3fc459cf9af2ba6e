// JSON as a tree: keys sorted, deep parts folded, long lists in steps. Text of others is text, and nothing else.

import { useState } from "preact/hooks";
import { number, visible } from "../base/format.ts";
import type { Json } from "../base/wire.ts";

/** So many entries are shown at once: a click shows as many more. */
const STEP = 100;
const TEXT_STEP = 240;
const OPEN_LEVELS = 1;

export function JsonTree({ value, label }: { value: Json; label: string }) {
  return (
    <figure class="json" aria-label={label}>
      <Value value={value} level={0} last />
    </figure>
  );
}

interface ValueProps {
  name?: string;
  value: Json;
  level: number;
  last: boolean;
}

function Value({ name, value, level, last }: ValueProps) {
  const key = name === undefined ? null : <span class="json-key">{quoted(name)}: </span>;
  const end = last ? "" : ",";
  if (value !== null && typeof value === "object") {
    return <Branch value={value} level={level} end={end} head={key} name={name ?? ""} />;
  }
  return (
    <div class="json-line">
      {key}
      {typeof value === "string" ? <Text text={value} /> : <span class="json-number">{String(value)}</span>}
      {end}
    </div>
  );
}

interface BranchProps {
  value: Json[] | { [key: string]: Json };
  level: number;
  end: string;
  head: preact.ComponentChildren;
  name: string;
}

function Branch({ value, level, end, head, name }: BranchProps) {
  const [isOpen, setOpen] = useState(level < OPEN_LEVELS);
  const [shown, setShown] = useState(STEP);
  const isList = Array.isArray(value);
  const entries: [string | undefined, Json][] = isList
    ? value.map((each) => [undefined, each])
    : Object.keys(value)
        .sort()
        .map((each) => [each, value[each] as Json]);
  const [left, right] = isList ? ["[", "]"] : ["{", "}"];
  if (entries.length === 0)
    return (
      <div class="json-line">
        {head}
        {`${left}${right}${end}`}
      </div>
    );
  const count = `${number(entries.length)} ${isList ? (entries.length === 1 ? "item" : "items") : entries.length === 1 ? "key" : "keys"}`;
  const fold = level > 0 && (
    <button
      type="button"
      class="json-fold"
      aria-expanded={isOpen}
      aria-label={`${name ? visible(name) : "Part"}: ${count}`}
      onClick={() => setOpen(!isOpen)}
    >
      {isOpen ? "▾" : `▸ ${left} ${count} ${right}${end}`}
    </button>
  );
  if (!isOpen)
    return (
      <div class="json-line">
        {head}
        {fold}
      </div>
    );
  return (
    <div>
      <div class="json-line">
        {head}
        {fold}
        {fold ? " " : ""}
        {left}
      </div>
      <div class="json-inner">
        {entries.slice(0, shown).map(([key, each], index) => (
          <Value
            key={key ?? index}
            value={each}
            level={level + 1}
            last={index === entries.length - 1}
            {...(key === undefined ? {} : { name: key })}
          />
        ))}
        {shown < entries.length && (
          <button type="button" class="json-fold" onClick={() => setShown(shown + STEP)}>
            {`… ${number(entries.length - shown)} more`}
          </button>
        )}
      </div>
      <div class="json-line">{`${right}${end}`}</div>
    </div>
  );
}

function Text({ text }: { text: string }) {
  const [shown, setShown] = useState(TEXT_STEP);
  if (text.length <= shown) return <span class="json-text">{quoted(text)}</span>;
  return (
    <span class="json-text">
      {quoted(text.slice(0, shown)).slice(0, -1)}
      <button type="button" class="json-fold" onClick={() => setShown(shown * 10)}>
        {`… ${number(text.length - shown)} characters more`}
      </button>
      "
    </span>
  );
}

function quoted(text: string): string {
  return visible(JSON.stringify(text));
}
