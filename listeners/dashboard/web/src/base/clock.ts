// One clock for all ages: it moves once a second, and goes by the hub's time.

import { signal } from "@preact/signals";

/** What the hub's clock is ahead of this computer's, in milliseconds. */
let ahead = 0;

/** The hub's time, in milliseconds since 1970; changes once a second. */
export const now = signal(Date.now());

export function hubNow(): number {
  return Date.now() + ahead;
}

/** Learn the hub's time. A difference of less than a second and a half is the way of the message, and left alone. */
export function learnTime(at: string): void {
  const told = Date.parse(at);
  if (Number.isNaN(told)) return;
  const difference = told - Date.now();
  if (Math.abs(difference - ahead) > 1500) ahead = difference;
}

export function startClock(): void {
  setInterval(() => {
    now.value = hubNow();
  }, 1000);
}
