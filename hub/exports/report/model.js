// What the records tell of: agents, channels, approvals, and spans of time that begin and end.

const shortId = (id) => (id.length === 32 ? "…" + id.slice(-8) : id);
const textOf = (value) =>
  typeof value === "string"
    ? value
    : (goneWords(value) ?? JSON.stringify(value, (_, each) => goneWords(each) ?? each) ?? "");

const BAD = /\.(failed|violated|crashed|damaged|dispatch_failed|dead_lettered|suspended)$/;
const ODD = /\.(rejected|denied|expired|abandoned|dropped|returned|blocked|warned|overflowed|questioned)$/;
const SIGNS = [
  [/\.violated$/, "late", "bad"],
  [BAD, "failed", "bad"],
  [/\.expired$/, "late", "odd"],
  [/\.abandoned$/, "abandoned", "odd"],
  [ODD, "refused", "odd"],
];

/** How a record looks: "bad", "odd" or "", and the sign for it. */
function lookOf(fields) {
  const kind = String(fields.kind ?? "");
  for (const [pattern, sign, look] of SIGNS) if (pattern.test(kind)) return { look, sign };
  if (fields.severity === "error" || fields.outcome === "failure") return { look: "bad", sign: "failed" };
  if (fields.outcome === "denied") return { look: "odd", sign: "refused" };
  return fields.$damaged !== undefined ? { look: "bad", sign: "failed" } : { look: "", sign: null };
}

const BEGINS = {
  __proto__: null,
  "turn.started": 1,
  "tool.called": 1,
  "model.called": 1,
  "task.started": 1,
  "approval.requested": 1,
};
const ENDS = new Set([
  "ended",
  "failed",
  "abandoned",
  "completed",
  "cancelled",
  "expired",
  "approved",
  "denied",
  "withdrawn",
]);

function spanKey(domain, fields) {
  if (domain === "turn") return fields.turn_id ?? null;
  if (domain === "task") return fields.task_id ?? null;
  if (domain === "approval") return fields.approval_id ?? null;
  return fields.call_id ?? null;
}

class Model {
  constructor(records, names) {
    this.names = new Map(Object.entries(names));
    this.agents = new Map();
    this.channels = new Map();
    this.approvals = new Map();
    this.kinds = new Map();
    this.spans = [];
    this.bad = this.odd = this.events = 0;
    this.first = this.last = null;
    this.hub = null;
    this.open = new Map();
    for (const record of records) this.learn(record.fields);
    for (const record of records) this.fold(record);
  }

  learn(fields) {
    if (fields.kind === "agent.registered" && typeof fields.name === "string")
      this.names.set(fields.agent_id, fields.name);
    if (fields.kind === "channel.created" && typeof fields.topic === "string" && fields.topic) {
      this.names.set(fields.channel_id, fields.topic);
    }
  }

  /** The name of an agent or a channel; where several have one name, as those that were redacted, with the end of the id. */
  name(id) {
    const name = this.names.get(id);
    if (name === undefined) return shortId(String(id));
    if (!this.shared) {
      const seen = new Map();
      for (const each of this.names.values()) seen.set(each, (seen.get(each) ?? 0) + 1);
      this.shared = new Set([...seen].filter(([, number]) => number > 1).map(([each]) => each));
    }
    return this.shared.has(name) ? `${name} ${String(id).slice(-6)}` : name;
  }

  at(record) {
    const time = Date.parse(record.fields.at ?? "");
    return Number.isNaN(time) ? null : time;
  }

  fold(record) {
    const fields = record.fields;
    const kind = String(fields.kind ?? "");
    const at = (record.at = this.at(record));
    Object.assign(record, lookOf(fields));
    record.kind = kind;
    if (typeof fields.seq === "number") this.events += 1;
    if (record.look === "bad") this.bad += 1;
    if (record.look === "odd") this.odd += 1;
    if (at !== null) {
      this.first = this.first === null ? at : Math.min(this.first, at);
      this.last = this.last === null ? at : Math.max(this.last, at);
    }
    if (typeof fields.hub === "string") this.hub = this.hub ?? fields.hub;
    this.kinds.set(kind, (this.kinds.get(kind) ?? 0) + 1);
    if (typeof fields.agent_id === "string") this.foldAgent(fields.agent_id, record);
    if (typeof fields.channel_id === "string") this.foldChannel(fields.channel_id, record);
    if (kind.startsWith("approval.") && fields.approval_id) this.foldApproval(record);
    this.foldSpan(record);
  }

  foldAgent(id, record) {
    let agent = this.agents.get(id);
    if (!agent) {
      agent = { id, events: 0, messages: 0, turns: 0, tools: 0, models: 0, bad: 0, tokens: 0, last: null };
      this.agents.set(id, agent);
    }
    agent.events += 1;
    agent.messages += record.kind === "envelope.posted";
    agent.turns += record.kind === "turn.started";
    agent.tools += record.kind === "tool.called";
    agent.models += record.kind === "model.called";
    agent.bad += record.look === "bad";
    agent.tokens += (record.fields.input_tokens | 0) + (record.fields.output_tokens | 0);
    agent.last = record.at ?? agent.last;
  }

  foldChannel(id, record) {
    let channel = this.channels.get(id);
    if (!channel) {
      channel = {
        id,
        records: [],
        spans: [],
        messages: 0,
        tools: 0,
        bad: 0,
        odd: 0,
        agents: new Set(),
        state: "open",
        first: null,
        last: null,
      };
      this.channels.set(id, channel);
    }
    channel.records.push(record);
    channel.messages += record.kind === "envelope.posted";
    channel.tools += record.kind === "tool.called";
    channel.bad += record.look === "bad";
    channel.odd += record.look === "odd";
    if (record.fields.agent_id) channel.agents.add(record.fields.agent_id);
    if (record.kind === "channel.closed" || record.kind === "channel.expired")
      channel.state = record.kind.split(".")[1];
    if (record.at !== null) {
      channel.first = channel.first ?? record.at;
      channel.last = record.at;
    }
  }

  foldApproval(record) {
    const fields = record.fields;
    let approval = this.approvals.get(fields.approval_id);
    if (!approval) {
      approval = { id: fields.approval_id, state: "waiting", records: [] };
      this.approvals.set(fields.approval_id, approval);
    }
    approval.records.push(record);
    const word = record.kind.split(".")[1];
    if (word === "requested")
      Object.assign(approval, {
        at: record.at,
        agent: fields.agent_id,
        action: fields.action,
        arguments: fields.arguments,
        channel: fields.channel_id,
      });
    approval.action = approval.action ?? fields.action;
    if (fields.risk_level) Object.assign(approval, { risk: fields.risk_level, score: fields.risk_score });
    if (["approved", "denied", "expired", "withdrawn", "escalated", "returned"].includes(word)) {
      Object.assign(approval, {
        state: word,
        ended: record.at,
        by: fields.approvers ?? [],
        reason: fields.reason ?? "",
      });
    }
  }

  foldSpan(record) {
    const fields = record.fields;
    const [domain, word] = record.kind.split(".");
    if (record.at === null) return;
    if (record.kind === "envelope.posted") {
      for (const to of Array.isArray(fields.audience) ? fields.audience : []) {
        this.begin(`envelope/${fields.envelope_id}/${to}`, record, "envelope", to);
      }
    } else if (
      ["envelope.acked", "envelope.dead_lettered", "envelope.expired", "envelope.dropped"].includes(record.kind)
    ) {
      this.end(`envelope/${fields.envelope_id}/${fields.agent_id}`, record);
    } else if (BEGINS[record.kind]) {
      const key = spanKey(domain, fields);
      if (key !== null) this.begin(`${domain}/${key}`, record, domain, fields.agent_id);
    } else if (ENDS.has(word) && ["turn", "tool", "model", "task", "approval"].includes(domain)) {
      this.end(`${domain}/${spanKey(domain, fields)}`, record);
    }
  }

  begin(key, record, domain, agent) {
    const span = { domain, agent, begins: record, from: record.at, to: null, ends: null };
    this.open.set(key, span);
    this.spans.push(span);
    const channel = this.channels.get(record.fields.channel_id);
    if (channel) channel.spans.push(span);
  }

  end(key, record) {
    const span = this.open.get(key);
    if (!span) return;
    this.open.delete(key);
    span.to = record.at;
    span.ends = record;
  }

  // -- words --

  gist(record) {
    const fields = record.fields;
    if (fields.$damaged !== undefined) return `damaged: ${fields.$damaged}`;
    switch (record.kind) {
      case "envelope.posted": {
        const to =
          Array.isArray(fields.audience) && fields.audience.length
            ? `→ ${fields.audience
                .slice(0, 4)
                .map((id) => this.name(id))
                .join(", ")}: `
            : "";
        return to + this.content(fields.content);
      }
      case "tool.called":
        return `${fields.tool}(${pairs(fields.arguments)})`;
      case "tool.completed":
        return `${fields.tool} → ${textOf(fields.result)}`;
      case "tool.failed":
        return `${fields.tool} ✗ ${fields.error_message || fields.error_type || ""}`;
      case "model.completed":
        return `${fields.model}${fields.input_tokens ? ` (${count(fields.input_tokens)} tokens in, ${count(fields.output_tokens | 0)} out)` : ""}`;
      case "agent.registered":
        return Array.isArray(fields.capabilities) && fields.capabilities.length
          ? `can ${fields.capabilities.join(", ")}`
          : "";
      case "channel.created":
        return Array.isArray(fields.participants)
          ? `with ${fields.participants
              .slice(0, 4)
              .map((id) => this.name(id))
              .join(", ")}`
          : "";
      case "envelope.acked":
        return "handled";
      case "model.called":
        return String(fields.model);
      case "turn.started":
        return fields.prompt ? textOf(fields.prompt) : "";
      case "turn.ended":
        return fields.content ? textOf(fields.content) : "";
    }
    if (record.kind.startsWith("approval."))
      return `${fields.action ?? ""}${fields.reason ? `: ${fields.reason}` : ""}`;
    const rest = Object.entries(fields).filter(
      ([name, value]) =>
        !HEADER.has(name) &&
        value !== null &&
        value !== "" &&
        !(Array.isArray(value) && !value.length) &&
        !(value && typeof value === "object" && !Object.keys(value).length),
    );
    return rest.length === 1 && rest[0][0] === "data" ? pairs(rest[0][1]) : pairs(Object.fromEntries(rest));
  }

  content(content) {
    if (content && typeof content === "object" && typeof content.text === "string") {
      const { text, ...rest } = content;
      return text + (Object.keys(rest).length ? ` (${pairs(rest)})` : "");
    }
    return textOf(content);
  }
}

const HEADER = new Set(
  (
    "$c agent_id at causation_id channel_id correlation_id d depth envelope_id h c hub id kind listener occurred_at" +
    " participants recipients seq source source_id traceparent call_id metadata duration_ms turn_id session_id task_id approval_id severity" +
    " outcome tenant actor"
  ).split(" "),
);

function pairs(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "object" || Array.isArray(value) || goneWords(value)) return textOf(value);
  return Object.entries(value)
    .map(([name, each]) => `${name}=${textOf(each)}`)
    .join(", ");
}
