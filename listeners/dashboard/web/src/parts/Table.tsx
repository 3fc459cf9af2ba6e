// A table: what its columns are is said once, and heads and cells follow.

import type { ComponentChildren, HTMLAttributes } from "preact";

export interface Column<T> {
  /** What stands above it; what is no text needs `name`. */
  head: ComponentChildren;
  name?: string;
  /** Numbers stand at the right, and so does their head. */
  right?: boolean;
  /** Of its head and its cells. */
  class?: string;
  /** Of a cell alone, by its row. */
  tone?: (row: T) => string | undefined;
  title?: (row: T) => string | undefined;
  /** What a cell says of itself where there is no room for heads. */
  label?: string;
  cell: (row: T) => ComponentChildren;
}

export interface TableProps<T> {
  /** What the table is, for readers. */
  label: string;
  class?: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string | number;
  /** What a row has to have, if it is reached and opened. */
  row?: (row: T) => HTMLAttributes<HTMLTableRowElement>;
  selected?: string | number | null;
}

function joined(...classes: (string | false | undefined)[]): string | undefined {
  return classes.filter(Boolean).join(" ") || undefined;
}

export function Table<T>({ label, class: extra, columns, rows, keyOf, row: rowOf, selected }: TableProps<T>) {
  const nameOf = (column: Column<T>) => column.name ?? String(column.head);
  return (
    <table class={joined("table", extra)}>
      <caption class="unseen">{label}</caption>
      <thead>
        <tr>
          {columns.map((column) => (
            <th key={nameOf(column)} scope="col" class={joined(column.right && "right", column.class)}>
              {column.head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr
            key={keyOf(row)}
            aria-selected={selected === undefined ? undefined : selected === keyOf(row)}
            {...rowOf?.(row)}
          >
            {columns.map((column) => (
              <td
                key={nameOf(column)}
                class={joined(column.right && "right", column.class, column.tone?.(row))}
                title={column.title?.(row)}
                data-label={column.label}
              >
                {column.cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** What a row has that is opened by a click and by Enter, each a stop of its own. */
export function opens(open: () => void): HTMLAttributes<HTMLTableRowElement> {
  return {
    tabIndex: 0,
    onClick: open,
    onKeyDown: (event) => {
      if (event.key === "Enter" && event.target === event.currentTarget) open();
    },
  };
}
