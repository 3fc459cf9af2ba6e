// A gap of Live names the first and last event that are gone: they become a stretch of time.

import { useEffect, useState } from "preact/hooks";
import { api, type Trouble, troubleOf } from "../../base/api.ts";
import { instant } from "../../base/format.ts";
import { param, setParams } from "../../base/router.ts";

function seqOf(text: string): number | null {
  return /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** Turn `first_seq` and `last_seq` of the address into `since` and `until`. Returns what went wrong. */
export function useGap(): Trouble | null {
  const first = seqOf(param("first_seq"));
  const last = seqOf(param("last_seq"));
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  useEffect(() => {
    if (first === null || last === null) return;
    const abort = new AbortController();
    Promise.all([api.event(first, abort.signal), api.event(last, abort.signal)])
      .then(([begin, end]) => {
        const until = new Date(instant(end.row.at) + 1).toISOString();
        setParams({ since: begin.row.at, until, first_seq: null, last_seq: null });
        setTrouble(null);
      })
      .catch((error) => {
        if (!abort.signal.aborted) setTrouble(troubleOf(error));
      });
    return () => abort.abort();
  }, [first, last]);
  return first === null ? null : trouble;
}
