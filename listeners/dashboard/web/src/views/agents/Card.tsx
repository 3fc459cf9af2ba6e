// An agent as a card: its state, what it does now, its figures, and why it stands here.

import type { Activity, AgentView } from "../../base/boards.ts";
import { now } from "../../base/clock.ts";
import { coarse, duration, instant, many, money, number, short, UNKNOWN, visible } from "../../base/format.ts";
import { href } from "../../base/router.ts";
import { Age, AgentName, Meter, Since } from "../../parts/parts.tsx";
import { agentState, Sign, StateSign } from "../../parts/Sign.tsx";
import { ErrorBars } from "./ErrorBars.tsx";

/** An inbox this full is told of. */
export const FULL = 0.7;

const FAMILY_SIGNS: Record<string, [string, string]> = {
  turn: ["turn", "work"],
  model: ["model", "model"],
  tool: ["tool", "tool"],
  approval: ["approval", "control"],
  ask: ["envelope", "talk"],
  task: ["task", "work"],
};

export function FamilySign({ family, label, size = 14 }: { family: string; label?: string; size?: number }) {
  const [sign, tone] = FAMILY_SIGNS[family] ?? ["own", "own"];
  return <Sign name={sign} class={`family-${tone}`} size={size} label={label} />;
}

/** JSON arguments, as one reads a call: `name(to=prod, …)`. */
export function callWords(name: string, preview: string): string {
  if (!preview) return name;
  let found: unknown;
  try {
    found = JSON.parse(preview);
  } catch {
    return `${name}(${preview.replace(/^\{"?|"(?=:)/g, "").replace(/":\s*/g, "=")})`;
  }
  if (typeof found !== "object" || found === null || Array.isArray(found)) return `${name}(${preview})`;
  const fields = Object.entries(found).map(
    ([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  return `${name}(${fields.join(", ")})`;
}

/** What an agent does, in words. */
export function doingWords(doing: Activity): string {
  if (doing.family === "tool" || doing.family === "approval") return visible(callWords(doing.name, doing.preview));
  if (doing.family === "model") return `calls ${visible(doing.name)}`;
  if (doing.family === "ask") return `waits for an answer of ${visible(doing.name)}`;
  if (doing.family === "turn") return doing.preview ? `handles “${visible(doing.preview)}”` : "in a turn";
  return visible(doing.preview ? `${doing.name}: ${doing.preview}` : doing.name);
}

/** For how long, finely as long as it is short. */
export function For({ at }: { at: string }) {
  const ms = now.value - instant(at);
  return <span class="doing-for">{ms < 10_000 ? duration(Math.max(0, ms)) : coarse(ms)}</span>;
}

function Doing({ agent }: { agent: AgentView }) {
  const { doing, state } = agent;
  if (state === "failing") {
    return (
      <p class="doing">
        <Sign name="failed" class="tone-wrong" size={14} />
        <span class="cut wrong" title={visible(agent.why)}>
          {visible(agent.why)}
        </span>
        {agent.since_at && (
          <span class="doing-for">
            <Age at={agent.since_at} />
          </span>
        )}
      </p>
    );
  }
  if (!doing) {
    return (
      <p class="doing">
        <span class="cut quiet">nothing that it has begun</span>
      </p>
    );
  }
  const words = doingWords(doing);
  return (
    <p class="doing">
      <FamilySign family={doing.family} label={doing.family} />
      <span class="cut" title={words}>
        {words}
      </span>
      {doing.family === "approval" ? (
        <a class="card-decide" href={href("approvals", doing.id)}>
          Decide
        </a>
      ) : (
        <For at={doing.since_at} />
      )}
    </p>
  );
}

export function inboxShare(agent: AgentView): number | null {
  const { inbox, inbox_cap } = agent;
  return inbox === null || inbox === undefined || !inbox_cap ? null : inbox / inbox_cap;
}

function Inbox({ agent }: { agent: AgentView }) {
  const { inbox, inbox_cap } = agent;
  const share = inboxShare(agent);
  const isFull = (share ?? 0) >= FULL;
  return (
    <div class="card-figure figure-inbox">
      <dt>Inbox</dt>
      <dd title={inbox_cap ? `${number(inbox)} of ${number(inbox_cap)}` : undefined}>
        <b class={inbox ? "" : "zero"}>{number(inbox)}</b>
        {inbox_cap ? <span class="quiet"> of {number(inbox_cap)}</span> : null}
        {share !== null && (
          <Meter
            share={share}
            tone={isFull ? "attention" : undefined}
            label={`${number(inbox)} of ${number(inbox_cap)} places of the inbox are taken`}
          />
        )}
      </dd>
    </div>
  );
}

function Figures({ agent }: { agent: AgentView }) {
  const tokens = agent.input_tokens + agent.output_tokens;
  const flight = agent.in_flight || agent.calls_open;
  return (
    <dl class="card-figures">
      <Inbox agent={agent} />
      <div class="card-figure">
        <dt>In flight</dt>
        <dd>
          <b class={flight ? "" : "zero"}>{number(flight)}</b>
        </dd>
      </div>
      <div class="card-figure figure-errors">
        <dt>Errors, 15 min</dt>
        <dd>
          <b class={agent.errors === 0 ? "zero" : agent.state === "failing" ? "wrong" : ""}>{number(agent.errors)}</b>
          <ErrorBars minutes={agent.errors_by_minute} isWrong={agent.state === "failing"} />
        </dd>
      </div>
      <div class="card-figure figure-tokens">
        <dt>Tokens</dt>
        <dd>
          <b class={tokens ? "" : "zero"}>{tokens ? short(tokens) : UNKNOWN}</b>
          {agent.cost_usd !== null && agent.cost_usd !== undefined && (
            <span class="quiet"> {money(agent.cost_usd)}</span>
          )}
        </dd>
      </div>
    </dl>
  );
}

function leftWords(agent: AgentView): string {
  const left = agent.doing?.seconds_left;
  if (left === null || left === undefined) return "waits for approve or deny";
  const since = instant(agent.doing?.since_at);
  const limit = (agent.doing?.seconds ?? 0) + left;
  const rest = limit * 1000 - (now.value - since);
  return left > 0 && rest > 0 ? `${coarse(rest)} left to approve or deny` : "the time to approve or deny is over";
}

/** Why a card stands where it does. */
export function whyWords(agent: AgentView): string {
  if (agent.state === "failing") return agent.errors ? `${many(agent.errors, "error")} in 15 minutes` : "";
  if (agent.state === "waits_for_person") return leftWords(agent);
  if (agent.state === "silent") return visible(agent.why.replace(/^it has/, "has"));
  if (agent.state === "waits_for_agent") return visible(agent.why.replace(/^it has/, "has"));
  return agent.in_flight > 1 ? `${many(agent.in_flight, "turn")} at once` : "";
}

export function Card({ agent, isOpen, onOpen }: { agent: AgentView; isOpen: boolean; onOpen: (id: string) => void }) {
  const { tone, words } = agentState(agent.state);
  const isFull = (inboxShare(agent) ?? 0) >= FULL;
  const why = whyWords(agent);
  return (
    <li class={`card ${agent.group === "needs_look" ? `card-${tone}` : ""}`} aria-current={isOpen ? "true" : undefined}>
      <div class="card-head">
        <h3 class="card-name cut">
          <a
            class="card-link"
            data-stop
            href={href("agents", agent.agent_id)}
            onClick={(event) => {
              if (event.ctrlKey || event.metaKey || event.shiftKey) return;
              event.preventDefault();
              onOpen(agent.agent_id);
            }}
          >
            <AgentName name={agent.name} strong />
          </a>
        </h3>
        <span class={`card-state tone-${tone}`}>
          <StateSign state={agent.state} /> {words}
        </span>
        {agent.since_at && (
          <span class="quiet card-since">
            <Since at={agent.since_at} />
          </span>
        )}
      </div>
      <Doing agent={agent} />
      <Figures agent={agent} />
      <p class="card-foot">
        <span class="cut" title={why}>
          {isFull && <span class="attention">inbox fills up</span>}
          {isFull && why && " · "}
          {why}
        </span>
        <span class="card-seen">
          seen <Age at={agent.last_seen_at} />
        </span>
      </p>
    </li>
  );
}
