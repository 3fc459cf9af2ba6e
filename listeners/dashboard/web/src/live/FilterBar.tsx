// The chips of the filter, and the field that adds one.

import { signal } from "@preact/signals";
import { hubNow } from "../base/clock.ts";
import { FIELDS, type Field, type Part, partsOf } from "../base/filter.ts";
import { clock, number, timeOfDay, visible } from "../base/format.ts";
import { paramAll, setParams } from "../base/router.ts";
import { isNarrow } from "../base/screen.ts";
import type { Outcome, Row } from "../base/wire.ts";
import { type Choice, Combo } from "../parts/Combo.tsx";
import { AgentName, Button, Chip, Key } from "../parts/parts.tsx";
import { KindSign, OutcomeSign, Sign } from "../parts/Sign.tsx";
import { isGap } from "../stream/rows.ts";
import { rows } from "../stream/state.ts";
import { back, filter, range } from "./model.ts";

export const filterIsOpen = signal(false);

/** So many of the newest rows are looked through for what may be chosen. */
const LOOKED = 5000;
const CHOICES = 6;

/** What an id is called: rows have the names beside the ids. */
export function nameOf(field: Field, value: string): string {
  if (field !== "agent" && field !== "channel") return value;
  const { all } = rows;
  for (let index = all.length - 1; index >= Math.max(0, all.length - LOOKED); index -= 1) {
    const entry = all.at(index);
    if (!entry || isGap(entry)) continue;
    if (field === "agent" && entry.agent_id === value) return entry.agent ?? value;
    if (field === "channel" && entry.channel_id === value) return entry.channel ?? value;
  }
  return value;
}

export function dropPart(part: Part["field"] | "range"): void {
  setParams(part === "range" ? { since: null, until: null } : { [part]: null }, false);
}

export const NO_FILTER: Record<string, null> = {
  ...Object.fromEntries(FIELDS.map((field) => [field, null])),
  text: null,
  show: null,
  since: null,
  until: null,
};

function add(field: string, value: string): void {
  const values = paramAll(field);
  if (!values.includes(value)) setParams({ [field]: [...values, value] }, false);
}

type Counted = Map<string, { count: number; row: Row }>;

function countBy(read: (row: Row) => string | undefined): Counted {
  const found: Counted = new Map();
  const { all } = rows;
  for (let index = all.length - 1; index >= Math.max(0, all.length - LOOKED); index -= 1) {
    const entry = all.at(index);
    if (!entry || isGap(entry)) continue;
    const value = read(entry);
    if (value === undefined) continue;
    const known = found.get(value);
    if (known) known.count += 1;
    else found.set(value, { count: 1, row: entry });
  }
  return found;
}

function choicesOf(
  field: Field,
  group: string,
  counted: Counted,
  text: string,
  words: (value: string, row: Row) => { shown: preact.ComponentChildren; text: string },
): Choice[] {
  return [...counted]
    .map(([value, { count, row }]) => ({ value, count, ...words(value, row) }))
    .filter((one) => one.text.toLowerCase().includes(text))
    .sort((left, right) => right.count - left.count)
    .slice(0, text ? CHOICES * 2 : CHOICES)
    .map(({ value, count, shown }) => ({
      key: `${field} ${value}`,
      group,
      words: shown,
      side: number(count),
      act: () => add(field, value),
    }));
}

const LOOK_BACK: readonly (readonly [number, string])[] = [
  [300, "last 5 minutes"],
  [900, "last 15 minutes"],
  [3600, "last hour"],
  [21_600, "last 6 hours"],
  [86_400, "last 24 hours"],
];

export function backWords(seconds: number): string {
  return LOOK_BACK.find(([each]) => each === seconds)?.[1] ?? "time shown";
}

/** `since 15:07` and `until 15:09:30`: the stretch that the chart selects by pointer. */
function typedTime(text: string): Choice[] {
  const found = /^(since|until)[\s:=]+([\d:]+)$/.exec(text);
  const now = hubNow();
  const at = timeOfDay(found?.[2] ?? "", now);
  if (!found || Number.isNaN(at)) return [];
  const held = range.value;
  const since = found[1] === "since" ? at : Math.min(held?.since ?? at - back.value * 1000, at);
  const until = found[1] === "until" ? at : Math.max(held?.until ?? now, at);
  const act = () => setParams({ since: new Date(since).toISOString(), until: new Date(until).toISOString() }, false);
  return [{ key: "time", words: <Pair name="time" value={`${clock(since)} to ${clock(until)}`} />, act }];
}

function typed(text: string): Choice[] {
  const list = typedTime(text);
  if (!text) return list;
  const named = /^(kind|agent|channel|task|turn|outcome|tenant|correlation|text)[\s:=]+(.+)$/.exec(text);
  if (named)
    list.push({
      key: "named",
      words: <Pair name={named[1] ?? ""} value={named[2] ?? ""} />,
      act: () => add(named[1] ?? "", named[2] ?? ""),
    });
  else if (/^[\w*]+(\.[\w*]*)+$|\*/.test(text)) {
    list.push({ key: "kind", words: <Pair name="kind" value={text} />, act: () => add("kind", text) });
  }
  const domain = text.toLowerCase();
  if ([...countBy((row) => row.kind).keys()].some((kind) => kind.startsWith(`${domain}.`))) {
    list.push({
      key: "domain",
      words: <Pair name="kind" value={`${domain}.*`} />,
      act: () => add("kind", `${domain}.*`),
    });
  }
  list.push({ key: "text", words: <Pair name="text" value={text} />, act: () => setParams({ text }, false) });
  return list;
}

function Pair({ name, value }: { name: string; value: string }) {
  return (
    <span class="cut">
      <span class="quiet">{name}</span> {visible(value)}
    </span>
  );
}

function found(text: string): Choice[] {
  const small = text.toLowerCase();
  const cut = (value: string) => <span class="cut">{visible(value)}</span>;
  return [
    ...typed(text),
    ...choicesOf(
      "kind",
      "Kind",
      countBy((row) => row.kind),
      small,
      (value) => ({
        shown: (
          <>
            <KindSign kind={value} /> {cut(value)}
          </>
        ),
        text: value,
      }),
    ),
    ...choicesOf(
      "outcome",
      "Outcome",
      countBy((row) => row.outcome),
      small,
      (value) => ({
        shown: (
          <>
            <OutcomeSign outcome={value as Outcome} /> {cut(value)}
          </>
        ),
        text: value,
      }),
    ),
    ...choicesOf(
      "agent",
      "Agent",
      countBy((row) => row.agent_id ?? row.agent),
      small,
      (value, row) => ({
        shown: <AgentName name={row.agent ?? value} />,
        text: row.agent ?? value,
      }),
    ),
    ...choicesOf(
      "channel",
      "Channel",
      countBy((row) => row.channel_id),
      small,
      (value, row) => ({
        shown: cut(row.channel ?? value),
        text: row.channel ?? value,
      }),
    ),
    ...LOOK_BACK.filter(([, words]) => words.includes(small)).map(([seconds, words]) => ({
      key: `back ${seconds}`,
      group: "Time",
      words,
      side: back.value === seconds ? "now" : undefined,
      act: () => setParams({ back: seconds === 300 ? null : `${seconds}`, since: null, until: null }, false),
    })),
  ];
}

export function FilterBar() {
  const parts = partsOf(filter.value, nameOf);
  const selected = range.value;
  return (
    <div class="filter-bar">
      {parts.map((part) => (
        <Chip key={part.field} name={part.name} value={part.value} onDrop={() => dropPart(part.field)} />
      ))}
      {selected && (
        <Chip
          name="time"
          value={`${clock(selected.since)} to ${clock(selected.until)}`}
          onDrop={() => dropPart("range")}
        />
      )}
      {filterIsOpen.value ? (
        <span class="filter-field">
          <Sign name="filter" size={14} />
          <Combo
            id="filter"
            label="Add a filter"
            placeholder="kind, agent, channel, outcome, time, text …"
            choices={found}
            focused
            onDone={() => {
              filterIsOpen.value = false;
            }}
          />
          <Key>esc</Key>
        </span>
      ) : (
        <Button
          look="plain"
          class="add-filter"
          sign={isNarrow.value ? "filter" : "plus"}
          hotkey="f"
          label={isNarrow.value ? "Filter" : ""}
          onClick={openFilter}
        >
          {isNarrow.value ? "" : "Filter"}
        </Button>
      )}
    </div>
  );
}

export function openFilter(): void {
  filterIsOpen.value = true;
}
