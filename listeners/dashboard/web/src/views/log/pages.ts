// The pages of a query, one after the other, as the reader scrolls.

import { useEffect, useRef, useState } from "preact/hooks";
import { api, type Query, recordSeq, type Trouble, troubleOf } from "../../base/api.ts";
import type { Looked, Row } from "../../base/wire.ts";
import { learnRows } from "./names.ts";

const LIMIT = 300;
const SLOW_MS = 300;

export interface Pages {
  rows: readonly Row[];
  /** Whether the first page is there. */
  isRead: boolean;
  isReading: boolean;
  /** Whether there is nothing to show after 300 ms. */
  isSlow: boolean;
  hasMore: boolean;
  trouble: Trouble | null;
  looked: Looked | null;
  /** How long the first page took, in milliseconds. */
  tookMs: number | null;
  more: () => void;
  again: () => void;
}

type State = Omit<Pages, "more" | "again" | "hasMore"> & { cursor: string | null };

const EMPTY: State = {
  rows: [],
  isRead: false,
  isReading: true,
  isSlow: false,
  trouble: null,
  looked: null,
  tookMs: null,
  cursor: null,
};

/** Records of the log itself, as that it was opened, and those of programs have a place and no number. */
function numbered(row: Row & { index?: number }): Row {
  return row.index === undefined ? row : { ...row, seq: recordSeq(row.index) };
}

export function usePages(query: Query, newestFirst: boolean): Pages {
  const key = JSON.stringify([query, newestFirst]);
  const [turn, setTurn] = useState(0);
  const [state, setState] = useState<State>(EMPTY);
  const held = useRef({ state, abort: new AbortController() });
  held.current.state = state;

  const read = async (after: string | null, abort: AbortController) => {
    const begun = performance.now();
    try {
      const page = await api.events(
        { ...query, newest_first: newestFirst, limit: LIMIT, after, records: 1 },
        abort.signal,
      );
      if (abort.signal.aborted) return;
      const found = page.rows.map(numbered);
      learnRows(found);
      setState((old) => ({
        rows: after === null ? found : [...old.rows, ...found],
        isRead: true,
        isReading: false,
        isSlow: false,
        trouble: null,
        looked: page.looked,
        tookMs: after === null ? performance.now() - begun : old.tookMs,
        cursor: page.cursor ?? null,
      }));
    } catch (error) {
      if (abort.signal.aborted) return;
      setState((old) => ({ ...old, isReading: false, isSlow: false, trouble: troubleOf(error) }));
    }
  };

  useEffect(() => {
    const abort = new AbortController();
    held.current.abort = abort;
    setState(EMPTY);
    const slow = setTimeout(() => setState((old) => (old.isRead ? old : { ...old, isSlow: true })), SLOW_MS);
    void read(null, abort).finally(() => clearTimeout(slow));
    return () => {
      abort.abort();
      clearTimeout(slow);
    };
  }, [key, turn]);

  const { cursor, ...rest } = state;
  return {
    ...rest,
    hasMore: cursor !== null,
    more: () => {
      const { state: now, abort } = held.current;
      if (now.isReading || now.cursor === null || now.trouble) return;
      const next = { ...now, isReading: true };
      held.current.state = next;
      setState(next);
      void read(now.cursor, abort);
    },
    again: () => setTurn((old) => old + 1),
  };
}
