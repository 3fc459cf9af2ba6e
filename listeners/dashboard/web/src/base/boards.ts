// What the boards of the server show: hubwire.board says what each field means.

export interface ListenerView {
  listener: string;
  duty: string;
  pattern: string[];
  state: string;
  is_troubled: boolean;
  reason: string;
  since_at: string;
  failed: number;
  dropped: number;
  restarts: number;
  dead_letters: number;
  last_error: string;
  last_error_at: string;
}

export interface Bucket {
  start: number;
  wrong: number;
  attention: number;
  other: number;
}

export interface CountsView {
  per: string;
  width_seconds: number;
  buckets: Bucket[];
}

export interface TroubleView {
  seq: number;
  at: string;
  kind: string;
  is_wrong: boolean;
  agent_id?: string | null;
  agent: string;
  channel_id?: string | null;
  name: string;
  text: string;
}

export interface GapView {
  first_seq: number;
  last_seq: number;
  reason: string;
  at: string;
}

export interface HubView {
  hub: string;
  tenant?: string | null;
  state: string;
  version: string;
  started_at: string;
  seq: number;
  first_seq: number;
  at: string;
  events: number;
  wrong: number;
  attention: number;
  kinds: Record<string, number>;
  kinds_not_shown: number;
  missing: number;
  misfits: number;
  agents: Record<string, number>;
  approvals_waiting: number;
  listeners_troubled: number;
  events_per_second: number;
}

export interface Activity {
  family: string;
  id: string;
  name: string;
  preview: string;
  channel_id?: string | null;
  since_at: string;
  seconds: number;
  seconds_left?: number | null;
}

export interface AgentView {
  agent_id: string;
  name: string;
  tenant?: string | null;
  capabilities: string[];
  is_registered: boolean;
  state: string;
  since_at: string;
  group: string;
  why: string;
  doing?: Activity | null;
  inbox?: number | null;
  inbox_cap?: number | null;
  in_flight: number;
  calls_open: number;
  errors: number;
  errors_by_minute: number[];
  input_tokens: number;
  output_tokens: number;
  cost_usd?: number | null;
  last_seen_at: string;
  silent_seconds?: number | null;
}

export interface CallView {
  seq: number;
  tool: string;
  arguments: string;
  outcome: string;
  detail: string;
  seconds?: number | null;
}

export interface LineView {
  seq: number;
  at: string;
  sort: string;
  agent_id?: string | null;
  agent: string;
  to: string[];
  text: string;
  recipients: number;
  acked: number;
  acked_seconds?: number | null;
  failed: number;
  calls: Record<string, number>;
  items: CallView[];
}

export interface LinkView {
  from_id: string;
  from_agent: string;
  to_id: string;
  to_agent: string;
  count: number;
}

export interface ExpectationView {
  name: string;
  on_violation: string;
  state: string;
  violations: number;
  last_violated_at: string;
  violators: string[];
  trouble: string;
}

export interface ChannelView {
  channel_id: string;
  topic: string;
  type: string;
  tenant?: string | null;
  state: string;
  reason: string;
  creator_id?: string | null;
  participants: string[];
  participant_names: string[];
  participants_not_shown: number;
  invited: string[];
  parent_id?: string | null;
  created_at: string;
  ended_at: string;
  last_at: string;
  posts: number;
  acked: number;
  rejected: number;
  failed: number;
  violations: number;
  calls: number;
  calls_failed: number;
  input_tokens: number;
  output_tokens: number;
  approvals_waiting: number;
  last?: LineView | null;
  last_trouble?: LineView | null;
  expectations: ExpectationView[];
}

export interface DoingView {
  agent_id: string;
  agent: string;
  doing: Activity;
}

export interface Transcript {
  channel: ChannelView;
  lines: LineView[];
  lines_not_shown: number;
  doing: DoingView[];
  links: LinkView[];
  links_not_shown: number;
}

export interface SpanView {
  number: number;
  parent?: number | null;
  level: number;
  family: string;
  span_id: string;
  name: string;
  agent_id?: string | null;
  agent: string;
  channel_id?: string | null;
  task_id?: string | null;
  turn_id?: string | null;
  started_at: string;
  started_seq: number;
  ended_at: string;
  seconds?: number | null;
  outcome: string;
  detail: string;
  preview: string;
  is_recorded: boolean;
  cause?: number | null;
  input_tokens?: number | null;
  output_tokens?: number | null;
}

export interface HandOverView {
  at: string;
  from_agent: string;
  to_agent: string;
  reason: string;
  from_span?: number | null;
  to_span?: number | null;
}

export interface RestartView {
  down_at: string;
  up_at: string;
  was_stopped: boolean;
}

export interface BarView {
  start: number;
  seconds?: number | null;
  outcome: string;
}

export interface RunView {
  run_id: string;
  title: string;
  state: string;
  agents: string[];
  started_at: string;
  last_at: string;
  seconds?: number | null;
  bars: BarView[];
  failures: number[];
  open: number;
  waiting: number;
  turns: number;
  calls: number;
  tasks: number;
  failed: number;
  abandoned: number;
  input_tokens: number;
  output_tokens: number;
  not_shown: number;
}

export interface Waterfall {
  run: RunView;
  spans: SpanView[];
  hand_overs: HandOverView[];
  restarts: RestartView[];
}

export interface TaskView {
  task_id: string;
  title: string;
  owner_id: string;
  owner: string;
  tenant?: string | null;
  state: string;
  is_cancel_requested: boolean;
  is_observed: boolean;
  channel_id?: string | null;
  parent_id?: string | null;
  capability: string;
  progress: string;
  detail: string;
  started_at: string;
  last_at: string;
  ended_at: string;
  seconds?: number | null;
  seconds_left?: number | null;
}

export interface RiskStepView {
  scorer: string;
  score: string;
  reason: string;
}

export interface ApprovalView {
  approval_id: string;
  agent_id: string;
  agent: string;
  tenant?: string | null;
  action: string;
  arguments: string;
  arguments_at: string;
  arguments_bytes: number;
  requested_at: string;
  requested_seq: number;
  channel_id?: string | null;
  task_id?: string | null;
  turn_id?: string | null;
  mode: string;
  fail_mode: string;
  state: string;
  stage: string;
  risk_score?: number | null;
  risk_level: string;
  risk_steps: RiskStepView[];
  trust?: number | null;
  quorum: number;
  approvers: string[];
  passed: string[];
  failed: string[];
  reminders: number;
  waited_seconds?: number | null;
  seconds_left?: number | null;
  decided_at: string;
  decided_by: string[];
  reason: string;
  is_failure: boolean;
  is_used: boolean;
}
