// The whole state of a view is in the fragment: `#/live?kind=tool.*&sel=12`. A link shows the same to a colleague, and
// no filter is in a request or a log of the server.

import { computed, signal } from "@preact/signals";

export const VIEWS = ["live", "agents", "channels", "runs", "approvals", "listeners", "log"] as const;
export type View = (typeof VIEWS)[number];
export type Params = Readonly<Record<string, readonly string[]>>;

export interface Place {
  view: View;
  /** What the view shows of its kind: a channel, a run; empty: none. */
  id: string;
  params: Params;
}

export function parsePlace(hash: string): Place {
  const [path = "", search = ""] = hash.replace(/^#?\/?/, "").split(/\?(.*)/s);
  const [name = "", ...rest] = path.split("/");
  const view = (VIEWS as readonly string[]).includes(name) ? (name as View) : "live";
  const params: Record<string, string[]> = {};
  for (const [key, value] of new URLSearchParams(search)) {
    if (Object.hasOwn(params, key)) params[key]?.push(value);
    else
      Object.defineProperty(params, key, {
        value: [value],
        enumerable: true,
        configurable: true,
        writable: true,
      });
  }
  return { view, id: decoded(rest.join("/")), params };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function placeText(place: Place): string {
  const search = new URLSearchParams();
  for (const [key, values] of Object.entries(place.params)) for (const value of values) search.append(key, value);
  const query = search.toString();
  return `#/${place.view}${place.id ? `/${encodeURIComponent(place.id)}` : ""}${query ? `?${query}` : ""}`;
}

export const place = signal<Place>(parsePlace(typeof location === "undefined" ? "" : location.hash));
export const view = computed(() => place.value.view);

/** The first value of a parameter; empty if it is not there. */
export function param(key: string): string {
  return place.value.params[key]?.[0] ?? "";
}

export function paramAll(key: string): readonly string[] {
  return place.value.params[key] ?? [];
}

/** The place with other parameters; null or an empty list takes one away. */
export function withParams(from: Place, changes: Record<string, string | readonly string[] | null>): Place {
  const params: Record<string, readonly string[]> = { ...from.params };
  for (const [key, value] of Object.entries(changes)) {
    const values = value === null || value === "" ? [] : typeof value === "string" ? [value] : value;
    if (values.length) params[key] = values;
    else delete params[key];
  }
  return { ...from, params };
}

/** Go to a place. `replace`: the browser's way back does not stop at the one that is left. */
export function go(to: Place, replace = false): void {
  const text = placeText(to);
  if (text === placeText(place.value)) return;
  history[replace ? "replaceState" : "pushState"](null, "", text);
  place.value = to;
}

export function setParams(changes: Record<string, string | readonly string[] | null>, replace = true): void {
  go(withParams(place.value, changes), replace);
}

/** The parameters of another view: the tenant that is looked at stays. */
function carried(params: Params): Params {
  const tenant = place.value.params.tenant;
  return tenant ? { tenant, ...params } : params;
}

export function goView(name: View, id = "", params: Params = {}): void {
  go({ view: name, id, params: carried(params) });
}

/** The address of a view, for links. */
export function href(name: View, id = "", params: Params = {}): string {
  return placeText({ view: name, id, params: carried(params) });
}

export function startRouter(): void {
  addEventListener("popstate", () => {
    place.value = parsePlace(location.hash);
  });
  addEventListener("hashchange", () => {
    place.value = parsePlace(location.hash);
  });
}

/** Take a token out of the address: `#token=…` comes once, and is gone from the history before it is used. */
export function takeToken(): string {
  const found = /^#(?:.*&)?token=([^&]*)/.exec(location.hash);
  if (!found) return "";
  history.replaceState(null, "", `${location.pathname}${location.search}#/live`);
  place.value = parsePlace(location.hash);
  return decoded(found[1] ?? "");
}
