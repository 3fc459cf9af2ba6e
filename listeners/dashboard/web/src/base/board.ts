// Reading a board: again when the hub has gone on, at most once a second, and never twice at once.

import { effect } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { health, tenant, tick } from "../stream/state.ts";
import { api, type Query, type Trouble, troubleOf } from "./api.ts";
import type { Board } from "./wire.ts";

const EVERY_MS = 1000;
const SLOW_MS = 300;

export interface Reading<T> {
  /** What was read last; it stays while it is read again, and when that fails. */
  data: T | null;
  trouble: Trouble | null;
  /** Whether there is nothing to show after 300 ms: say what is waited for. */
  isSlow: boolean;
  /** Read again now: after an action. */
  again: () => void;
}

/** Read by `read` while the part is shown; `once`: what does not change. `key` names what is read: another is read anew. */
export function useReading<T>(
  key: string,
  read: (signal: AbortSignal) => Promise<T>,
  options: { once?: boolean } = {},
): Reading<T> {
  const isOnce = options.once === true;
  const [state, setState] = useState<{
    key: string;
    data: T | null;
    trouble: Trouble | null;
    isSlow: boolean;
  }>({
    key,
    data: null,
    trouble: null,
    isSlow: false,
  });
  const ask = useRef<() => void>(() => {});
  const reader = useRef(read);
  reader.current = read;
  useEffect(() => {
    const abort = new AbortController();
    let isReading = false;
    let isWanted = false;
    let startedAt = 0;
    let seqRead = -2;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const slow = setTimeout(
      () =>
        setState((old) =>
          old.key === key && old.data
            ? old
            : { key, data: null, trouble: old.key === key ? old.trouble : null, isSlow: true },
        ),
      SLOW_MS,
    );
    const start = async () => {
      timer = undefined;
      isReading = true;
      isWanted = false;
      startedAt = Date.now();
      seqRead = tick.peek()?.hub.seq ?? -2;
      try {
        const data = await reader.current(abort.signal);
        if (!abort.signal.aborted) setState({ key, data, trouble: null, isSlow: false });
      } catch (error) {
        if (!abort.signal.aborted) {
          const trouble = troubleOf(error);
          setState((old) => ({ key, data: old.key === key ? old.data : null, trouble, isSlow: false }));
        }
      }
      isReading = false;
      if (isWanted && !abort.signal.aborted) request();
    };
    const request = () => {
      isWanted = true;
      if (isReading || timer !== undefined) return;
      timer = setTimeout(() => void start(), Math.max(0, startedAt + EVERY_MS - Date.now()));
    };
    ask.current = request;
    void start();
    const stop = effect(() => {
      const seq = tick.value?.hub.seq;
      if (!isOnce && health.value === "live" && seq !== undefined && seq !== seqRead) request();
    });
    return () => {
      abort.abort();
      clearTimeout(timer);
      clearTimeout(slow);
      stop();
    };
  }, [key, isOnce]);
  const isSame = state.key === key;
  return {
    data: isSame ? state.data : null,
    trouble: isSame ? state.trouble : null,
    isSlow: isSame && state.isSlow,
    again: () => ask.current(),
  };
}

/** A board as a list: `useBoard<AgentView>("agents")`. It heeds the tenant that is chosen. */
export function useBoard<T>(name: string, query: Query = {}): Reading<Board<T>> {
  const whole = { tenant: tenant.value, ...query };
  return useReading(`${name} ${JSON.stringify(whole)}`, (signal) => api.board<T>(name, whole, signal));
}

/** One entry of a board with all there is: `useBoardOne<Transcript>("channels", id)`. */
export function useBoardOne<T>(name: string, id: string): Reading<T> {
  return useReading(`${name}/${id}`, (signal) => api.boardOne<T>(name, id, signal));
}
