// Reading what does not change while it is shown: once for each key, and again when asked to.

import { useEffect, useRef, useState } from "preact/hooks";
import { type Trouble, troubleOf } from "./api.ts";
import type { Reading } from "./board.ts";

const SLOW_MS = 300;

interface State<T> {
  of: string;
  key: string;
  data: T | null;
  trouble: Trouble | null;
  isSlow: boolean;
}

/** A reading, and for which key its data was read. */
export interface Once<T> extends Reading<T> {
  key: string;
}

/** Read by `read` for each `key`. What was read for the same `of` stays while it is read anew. An empty key: nothing. */
export function useOnce<T>(of: string, key: string, read: (signal: AbortSignal) => Promise<T>): Once<T> {
  const [state, setState] = useState<State<T>>({ of: "", key: "", data: null, trouble: null, isSlow: false });
  const [turn, setTurn] = useState(0);
  const reader = useRef(read);
  reader.current = read;
  useEffect(() => {
    if (!key) return;
    const abort = new AbortController();
    const kept = (old: State<T>) => (old.of === of ? old.data : null);
    const slow = setTimeout(
      () => setState((old) => ({ of, key: old.key, data: kept(old), trouble: null, isSlow: true })),
      SLOW_MS,
    );
    reader
      .current(abort.signal)
      .then((data) => {
        if (!abort.signal.aborted) setState({ of, key, data, trouble: null, isSlow: false });
      })
      .catch((error) => {
        if (abort.signal.aborted) return;
        setState((old) => ({ of, key: old.key, data: kept(old), trouble: troubleOf(error), isSlow: false }));
      })
      .finally(() => clearTimeout(slow));
    return () => {
      abort.abort();
      clearTimeout(slow);
    };
  }, [of, key, turn]);
  const isSame = state.of === of;
  return {
    key: isSame ? state.key : "",
    data: isSame ? state.data : null,
    trouble: isSame ? state.trouble : null,
    isSlow: isSame && state.isSlow,
    again: () => setTurn((old) => old + 1),
  };
}
