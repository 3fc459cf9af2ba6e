// What server and page say to each other. Absent fields were null.

import type { ApprovalView, HubView, LineView, ListenerView } from "./boards.ts";

export type Role = "read" | "operate" | "admin";

export interface Session {
  person: string;
  role: Role;
  contents: boolean;
  tenants?: string[] | null;
  source: "hub" | "log";
  hub: { id: string; name: string; version: string };
}

export type Meaning = "attention" | "wrong";
export type Outcome = "ok" | "failed" | "refused" | "denied" | "expired" | "abandoned" | "late" | "open";

/** An event, as a line. */
export interface Row {
  /** Its number; of a record that is no event, a negative one that says its place: see recordSeq(). */
  seq: number;
  at: string;
  kind: string;
  agent_id?: string;
  agent?: string;
  channel_id?: string;
  channel?: string;
  task_id?: string;
  turn_id?: string;
  tenant?: string;
  correlation?: string;
  run_id?: string;
  words?: string;
  /** Where its content comes from, as its sender says: user, web, tool, agent, memory. */
  provenance?: string[];
  meaning?: Meaning;
  outcome?: Outcome;
  took_ms?: number;
  occurred_at?: string;
}

export interface Gap {
  first_seq: number;
  last_seq: number;
  code: "journal" | "behind";
  text: string;
}

export interface Verify {
  state: "none" | "checking" | "verified" | "broken" | "stopped";
  seq?: number | null;
  of?: number | null;
  seconds_left?: number | null;
  text?: string;
  at?: string | null;
}

export interface Tick {
  now: string;
  hub: HubView;
  rate: number[];
  lag_ms?: number | null;
  dropped: { listeners: number; by: { listener: string; dropped: number }[] };
  verify: Verify;
  problem?: { text: string; suggestion: string } | null;
}

export interface Stale {
  code: "cursor" | "other_hub" | "slow" | "ended";
  text: string;
  was?: string | null;
  is?: string | null;
}

export interface Looked {
  records?: number | null;
  first_seq?: number | null;
  last_seq?: number | null;
  text?: string;
}

export interface Page {
  rows: Row[];
  cursor?: string | null;
  looked: Looked;
}

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Linked {
  caused_by?: Row;
  answers?: Row;
  correlation_events?: number;
  run_id?: string;
}

export interface Detail {
  row: Row;
  event?: { [key: string]: Json } | null;
  contents: "shown" | "hidden";
  linked: Linked;
}

export interface Histogram {
  /** Seconds since 1970. */
  start: number;
  width_seconds: number;
  /** Of each bin: wrong, attention, others. */
  bins: [number, number, number][];
}

export interface Facets {
  /** Values, how often, and what an id is called. */
  facets: Record<string, [string, number, string?][]>;
  counted: number;
}

export interface Board<T> {
  seq: number;
  now: string;
  rows: T[];
  not_shown: number;
}

export interface ListenerRow extends ListenerView {
  lag?: number | null;
  handled?: number | null;
  retries?: number | null;
  /** Where its attachment is in its life, where a hub tells. */
  phase?: string | null;
}

export interface Figures {
  hub?: {
    healthy?: boolean | null;
    problems?: string[] | null;
    emitters_waiting?: number | null;
    loop_lag_ms?: number | null;
  } | null;
  store?: { p50_ms?: number | null; p99_ms?: number | null; stalled_ms?: number | null } | null;
  journal?: { bytes: number; first_seq: number; seq: number; limit_bytes?: number | null } | null;
  audit?: { bytes: number; records: number; seq?: number | null; segments?: number | null } | null;
  ring?: { held: number; capacity?: number | null; bytes?: number | null } | null;
  feeds?: { count: number; waiting: number; dropped: number } | null;
}

export interface Listeners {
  rows: ListenerRow[];
  watermarks?: Record<string, number | null> | null;
  figures: Figures;
}

export interface ApprovalDetail {
  approval: ApprovalView;
  arguments?: Json;
  /** Where the arguments come from, as the agent says: see Row. */
  provenance?: string[];
  said_before: LineView[];
  may_decide: boolean;
  why_not?: string;
  /** What a yes has to come with; none: it is not asked yet, or is decided. */
  challenge?: Challenge | null;
}

export interface Challenge {
  kind: string;
  /** To be replied to, in this order; empty: a plain yes is enough. */
  prompts: { text: string; choices: string[] }[];
}

export interface Decided {
  by: string[];
  verdict: string;
  at: string;
  reason: string;
}

export interface DeadLetter {
  id: string;
  listener: string;
  /** Of its event; null if it was dropped, or was an envelope. */
  seq?: number | null;
  kind?: string | null;
  agent?: string | null;
  error?: string | null;
  error_type?: string | null;
  reason_code?: string | null;
  /** How many events it stands for. */
  count?: number | null;
  attempts: number;
  failed_at: string;
}

export interface DeadLetters {
  rows: DeadLetter[];
  total: number;
}

export interface Done {
  done: number;
  failed: { id: string; message: string }[];
}
