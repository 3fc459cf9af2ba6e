// Requests to the server, below where the page is mounted. What fails is a Trouble: what happened, and what to do.

import type { ApprovalView } from "./boards.ts";
import { place } from "./router.ts";
import type {
  ApprovalDetail,
  Board,
  DeadLetters,
  Decided,
  Detail,
  Done,
  Facets,
  Histogram,
  Listeners,
  Page,
  Session,
  Verify,
} from "./wire.ts";

export type Query = Record<string, string | number | boolean | string[] | null | undefined>;

/** A request that was refused, or did not come through. */
export class Trouble extends Error {
  readonly code: string;
  readonly suggestion: string;
  readonly status: number;
  readonly decided: Decided | null;

  constructor(status: number, code: string, message: string, suggestion: string, decided: Decided | null = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.suggestion = suggestion;
    this.decided = decided;
  }
}

export function troubleOf(error: unknown): Trouble {
  if (error instanceof Trouble) return error;
  return new Trouble(0, "unknown", String(error), "Load the page again.");
}

/** Return `path?…` with what of the query is there. */
export function address(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === "" || value === false) continue;
    for (const each of Array.isArray(value) ? value : [value]) search.append(key, each === true ? "1" : String(each));
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

async function request<T>(
  method: string,
  path: string,
  options: { body?: unknown; signal?: AbortSignal } = {},
): Promise<T> {
  let response: Response;
  const init: RequestInit = { method, credentials: "same-origin", headers: { accept: "application/json" } };
  if (options.signal) init.signal = options.signal;
  if (options.body !== undefined) {
    init.body = JSON.stringify(options.body);
    init.headers = { accept: "application/json", "content-type": "application/json" };
  }
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Trouble(0, "unreachable", "The hub does not answer.", "Is it running? The page goes on trying.");
  }
  if (response.status === 204) return undefined as T;
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return body as T;
  const error = body?.error ?? {};
  throw new Trouble(
    response.status,
    error.code ?? "unknown",
    error.message ?? `The server answered ${response.status}.`,
    error.suggestion ?? "",
    body?.decided ?? null,
  );
}

const get = <T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> =>
  request<T>("GET", address(path, query), signal ? { signal } : {});
const post = <T>(path: string, body: unknown = {}, query: Query = {}): Promise<T> =>
  request<T>("POST", address(path, query), { body });
const id = encodeURIComponent;

/** The tenant that is looked at: who may see several has to say which. */
function ofTenant(): Query {
  const tenant = place.peek().params.tenant?.[0];
  return tenant ? { tenant } : {};
}

/** The number that stands for a record of the log that is no event, so that rows have one each. */
export function recordSeq(index: number): number {
  return -1 - index;
}

/** The place of a record in the log, of the number that stands for it. */
export function placeOf(seq: number): number {
  return -1 - seq;
}

export const api = {
  session: () => get<Session>("api/session"),
  signIn: (token: string) => post<Session>("api/session", { token }),
  signOut: () => request<void>("DELETE", "api/session"),

  events: (query: Query, signal?: AbortSignal) => get<Page>("api/events", query, signal),
  event: async (seq: number, signal?: AbortSignal) => {
    const detail = await get<Detail>(seq < 0 ? `api/records/${placeOf(seq)}` : `api/events/${seq}`, ofTenant(), signal);
    return { ...detail, row: { ...detail.row, seq } };
  },
  histogram: (query: Query, signal?: AbortSignal) => get<Histogram>("api/histogram", query, signal),
  facets: (query: Query, signal?: AbortSignal) => get<Facets>("api/facets", query, signal),
  exportAddress: (query: Query) => address("api/export", query),

  board: <T>(name: string, query: Query = {}, signal?: AbortSignal) =>
    get<Board<T>>(`api/board/${name}`, query, signal),
  boardOne: <T>(name: string, one: string, signal?: AbortSignal) =>
    get<T>(`api/board/${name}/${id(one)}`, ofTenant(), signal),
  listeners: (signal?: AbortSignal) => get<Listeners>("api/listeners", {}, signal),

  resume: (name: string) =>
    post<{ listener: { listener: string; phase: string } }>("api/listeners/resume", { listener: name }),

  approval: (one: string, tenant: string, signal?: AbortSignal) =>
    get<ApprovalDetail>(`api/approvals/${id(one)}`, { tenant }, signal),
  decide: (one: string, tenant: string, verdict: "approve" | "deny", reason: string, replies: string[]) =>
    post<{ approval: ApprovalView }>(`api/approvals/${id(one)}/decision`, { verdict, reason, replies }, { tenant }),

  deadLetters: (query: Query = {}, signal?: AbortSignal) => get<DeadLetters>("api/dead-letters", query, signal),
  retry: (ids: string[], tenant: string) => post<Done>("api/dead-letters/retry", { ids }, { tenant }),
  discard: (ids: string[], tenant: string, reason: string) =>
    post<Done>("api/dead-letters/discard", { ids, reason }, { tenant }),

  verify: () => get<Verify>("api/verify"),
  startVerify: () => post<Verify>("api/verify"),
  stopVerify: () => request<Verify | undefined>("DELETE", "api/verify"),
};
