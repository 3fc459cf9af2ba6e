// The query in one line: a chip each part, and a field that adds one. Backspace in the empty field takes the last away.

import { now } from "../../base/clock.ts";
import { number, visible } from "../../base/format.ts";
import { place, setParams } from "../../base/router.ts";
import type { Facets } from "../../base/wire.ts";
import { type Choice, Combo } from "../../parts/Combo.tsx";
import { Chip, Key } from "../../parts/parts.tsx";
import { Sign } from "../../parts/Sign.tsx";
import { FACETS, filterOf } from "./Facets.tsx";
import { nameOf } from "./names.ts";
import { FIELDS, NAMES, type Part, partsOf, SINGLE, typedPart, valueWords, withoutPart, withPart } from "./query.ts";

export const QUERY_ID = "log-query";

const TIMES = ["-10m", "-1h", "-6h", "today", "yesterday"];

function add(part: Part): void {
  setParams({ ...withPart(place.peek().params, part), sel: null }, false);
}

function Pair({ field, value }: Part) {
  return (
    <span class="cut">
      <span class="quiet">{field}</span> {visible(nameOf(value))}
    </span>
  );
}

function choice(part: Part, side?: string, group?: string): Choice {
  return {
    key: `${field(part)}`,
    words: <Pair {...part} />,
    act: () => add(part),
    ...(side === undefined ? {} : { side }),
    ...(group === undefined ? {} : { group }),
  };
}

const field = (part: Part): string => `${part.field} ${part.value}`;

function put(text: string): void {
  const input = document.getElementById(QUERY_ID) as HTMLInputElement | null;
  if (!input) return;
  input.focus();
  input.value = text;
  input.dispatchEvent(new Event("input", { bubbles: true }));
}

/** What may be meant by what is typed: first the words themselves, then what the found events have. */
function choicesOf(facets: Facets | null, text: string): Choice[] {
  const typed = typedPart(text);
  const small = (typed?.value ?? text).toLowerCase();
  const list: Choice[] = [];
  if (typed) list.push(choice(typed));
  else if (/^[\w*]+(\.[\w*]*)+$/.test(text)) list.push(choice({ field: "kind", value: text }));
  if (text && !typed) list.push(choice({ field: "text", value: text }));
  for (const name of typed ? FACETS.filter((each) => filterOf(each) === typed.field) : FACETS) {
    const found = (facets?.facets[name] ?? []).filter(
      ([value]) => value.toLowerCase().includes(small) || nameOf(value).toLowerCase().includes(small),
    );
    for (const [value, count] of found.slice(0, text ? 8 : 3))
      list.push(choice({ field: filterOf(name), value }, number(count), "In what is found"));
  }
  if (typed?.field === "since" || typed?.field === "until" || !text)
    for (const value of TIMES) list.push(choice({ field: typed?.field ?? "since", value }, undefined, "Time"));
  for (const name of NAMES)
    if (!typed && name.startsWith(text.toLowerCase()))
      list.push({ key: `name ${name}`, group: "Fields", words: `${name}:`, act: () => setTimeout(put, 0, `${name}:`) });
  const seen = new Set<string>();
  return list.filter((each) => !seen.has(each.key) && seen.add(each.key));
}

export function QueryLine({ facets }: { facets: Facets | null }) {
  const parts = partsOf(place.value.params);
  const used = new Set(parts.map((part) => part.field));
  const rest = ["kind", "agent", "channel", "task", "outcome", "tenant", "text"].filter((name) => !used.has(name));
  const drop = (part: Part) => setParams({ ...withoutPart(place.peek().params, part), sel: null }, false);
  const press = (event: KeyboardEvent) => {
    const last = parts[parts.length - 1];
    const { target } = event;
    if (event.key !== "Backspace" || !last || !(target instanceof HTMLInputElement) || target.value) return;
    event.preventDefault();
    drop(last);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys are those of the field in it
    <div class="query-line" onKeyDown={press}>
      <Sign name="search" size={14} />
      {parts.map((part) => (
        <Chip
          key={field(part)}
          name={part.field}
          value={valueWords({ ...part, value: nameOf(part.value) }, now.peek())}
          onDrop={() => drop(part)}
        />
      ))}
      <Combo
        id={QUERY_ID}
        label={`Add to the query: ${[...FIELDS, ...SINGLE].join(", ")}`}
        placeholder={`${rest.join(", ")} …`}
        choices={(text) => choicesOf(facets, text)}
      />
      <Key>/</Key>
    </div>
  );
}
