// Values of others as fields: names at the left, what is flat as text or small tables, and only deep parts as a tree.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { number, visible } from "../base/format.ts";
import type { Json } from "../base/wire.ts";
import { JsonTree } from "./JsonTree.tsx";

const FIELDS = 50;
const STEP = 200;
const ROWS = 20;
const COLUMNS = 4;
const TEXT = 400;

type Flat = null | boolean | number | string;

const isFlat = (value: Json): value is Flat => value === null || typeof value !== "object";
const isRecord = (value: Json): value is { [key: string]: Json } =>
  value !== null && typeof value === "object" && !Array.isArray(value);

export function Fields({ value }: { value: { [key: string]: Json } }) {
  const [shown, setShown] = useState(FIELDS);
  const entries = Object.entries(value);
  return (
    <dl class="fields">
      {entries.slice(0, shown).map(([key, each]) => (
        <div key={key}>
          <dt>{visible(key)}</dt>
          <dd>
            <Value value={each} name={key} />
          </dd>
        </div>
      ))}
      {entries.length > shown && <More count={entries.length - shown} onMore={() => setShown(shown + STEP)} />}
    </dl>
  );
}

function More({ count, onMore, what = "more" }: { count: number; onMore: () => void; what?: string }) {
  return (
    <button type="button" class="fields-more" onClick={onMore}>
      … {number(count)} {what}
    </button>
  );
}

function Value({ value, name }: { value: Json; name: string }): ComponentChildren {
  if (isFlat(value)) return <FlatValue value={value} />;
  if (Array.isArray(value)) {
    if (value.length === 0) return <span class="quiet">none</span>;
    if (value.every(isFlat)) return <FlatList values={value} />;
    const columns = columnsOf(value);
    if (columns) return <Records rows={value as { [key: string]: Flat }[]} columns={columns} name={name} />;
  } else {
    const entries = Object.entries(value);
    if (entries.length === 0) return <span class="quiet">empty</span>;
    if (entries.length <= COLUMNS && entries.every(([, each]) => isFlat(each)))
      return <Records rows={[value as { [key: string]: Flat }]} columns={entries.map(([key]) => key)} name={name} />;
  }
  return <JsonTree value={value} label={visible(name)} />;
}

/** The columns of records that are all flat and alike; null: they are not. */
function columnsOf(values: Json[]): string[] | null {
  const columns = new Set<string>();
  for (const each of values) {
    if (!isRecord(each)) return null;
    for (const [key, inner] of Object.entries(each)) {
      if (!isFlat(inner)) return null;
      columns.add(key);
    }
    if (columns.size > COLUMNS) return null;
  }
  return columns.size ? [...columns] : null;
}

function Records(props: { rows: { [key: string]: Flat }[]; columns: string[]; name: string }) {
  const { rows, columns, name } = props;
  const [shown, setShown] = useState(ROWS);
  const isNumbers = (key: string) => rows.every((row) => row[key] === undefined || typeof row[key] === "number");
  const places = columns.map((key) => (isNumbers(key) ? "right" : undefined));
  return (
    <>
      <table class="records">
        <caption class="unseen">{visible(name)}</caption>
        <thead>
          <tr>
            {columns.map((key, index) => (
              <th key={key} scope="col" class={places[index]}>
                {visible(key)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, shown).map((row, at) => (
            <tr key={at}>
              {columns.map((key, index) => (
                <td key={key} class={places[index]}>
                  {Object.hasOwn(row, key) ? <FlatValue value={row[key] as Flat} /> : null}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > shown && <More count={rows.length - shown} onMore={() => setShown(shown + STEP)} />}
    </>
  );
}

function FlatList({ values }: { values: Flat[] }) {
  const [shown, setShown] = useState(ROWS);
  return (
    <>
      {values.slice(0, shown).map((each, index) => (
        <span key={index}>
          {index > 0 && ", "}
          <FlatValue value={each} />
        </span>
      ))}
      {values.length > shown && <More count={values.length - shown} onMore={() => setShown(shown + STEP)} />}
    </>
  );
}

function FlatValue({ value }: { value: Flat }) {
  const [shown, setShown] = useState(TEXT);
  if (value === null) return <span class="quiet">null</span>;
  if (typeof value === "boolean") return <span>{value ? "yes" : "no"}</span>;
  if (typeof value === "number") return <span class="fields-number">{String(value)}</span>;
  if (value === "") return <span class="quiet">empty text</span>;
  if (value.length <= shown) return <span class="fields-text">{visible(value)}</span>;
  return (
    <span class="fields-text">
      {visible(value.slice(0, shown))}
      <More
        count={value.length - shown}
        what="characters more"
        onMore={() => setShown(Math.min(shown * 10, value.length))}
      />
    </span>
  );
}
