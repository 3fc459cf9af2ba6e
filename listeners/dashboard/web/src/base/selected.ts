// What a view's drawer shows: `#/approvals/ID` and `#/approvals?sel=ID` are the same to who opens a link.

import { go, param, place, withParams } from "./router.ts";

export function selectedId(): string {
  return param("sel") || place.value.id;
}

/** Open the drawer for one, or, with null, close it; other parameters change with it. */
export function select(id: string | null, others: Record<string, string | null> = {}): void {
  go(withParams({ ...place.peek(), id: "" }, { sel: id, ...others }), true);
}
