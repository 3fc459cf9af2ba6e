// The one live region: at most a message in five seconds, and of what waits only the latest of each sort.

import { signal } from "@preact/signals";

const EVERY_MS = 5000;
const said = signal("");
const waiting = new Map<string, string>();
let lastAt = Number.NEGATIVE_INFINITY;
let timer: ReturnType<typeof setTimeout> | undefined;

/** Say a sentence to readers. `sort`: a later one of the same sort takes the place of one that still waits. */
export function say(text: string, sort = text): void {
  waiting.set(sort, text);
  if (timer === undefined) timer = setTimeout(next, Math.max(0, lastAt + EVERY_MS - performance.now()));
}

function next(): void {
  timer = undefined;
  const first = waiting.entries().next();
  if (first.done) return;
  const [sort, text] = first.value;
  waiting.delete(sort);
  said.value = text;
  lastAt = performance.now();
  if (waiting.size) timer = setTimeout(next, EVERY_MS);
}

export function LiveRegion() {
  return (
    <div class="unseen" role="status" aria-live="polite">
      {said.value}
    </div>
  );
}
