import { signal } from "@preact/signals";

function media(query: string) {
  const list = matchMedia(query);
  const holds = signal(list.matches);
  list.addEventListener("change", (event) => {
    holds.value = event.matches;
  });
  return holds;
}

/** Whether there is less room than a row of events would have. */
export const isMedium = media("(max-width: 899px)");
/** Whether the page is as narrow as a telephone: lists have two lines a row. */
export const isNarrow = media("(max-width: 599px)");
