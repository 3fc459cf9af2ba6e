// A link to an event: pressed, it opens beside the transcript; in a new tab, too.

import { param, place, placeText, setParams, withParams } from "../../base/router.ts";

export function eventLink(seq: number) {
  const sel = `${seq}`;
  const isOpen = param("sel") === sel;
  return {
    href: placeText(withParams(place.value, { sel })),
    "aria-current": isOpen ? ("true" as const) : undefined,
    onClick: (event: MouseEvent) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      setParams({ sel: isOpen ? null : sel });
    },
  };
}
