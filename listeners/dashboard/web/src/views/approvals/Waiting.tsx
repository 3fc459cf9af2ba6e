import type { ApprovalView } from "../../base/boards.ts";
import { now } from "../../base/clock.ts";
import { UNKNOWN, visible, whole } from "../../base/format.ts";
import { AgentName, Meter } from "../../parts/parts.tsx";
import type { Roving } from "../../parts/roving.ts";
import { Sign } from "../../parts/Sign.tsx";
import { Risk } from "./Risk.tsx";
import { allowedOf, argumentWords, countdown, deadlineOf, deciders, isWaiting, verdictOf } from "./words.ts";

const SOON_MS = 120_000;

export interface WaitingProps {
  rows: readonly ApprovalView[];
  selected: string;
  at: number;
  roving: Roving;
}

export function Waiting({ rows, selected, at, roving }: WaitingProps) {
  return (
    <table class="table approvals-table waiting">
      <caption class="unseen">What waits for a person, the oldest first</caption>
      <thead>
        <tr>
          <th scope="col" class="column-left">
            Time left
          </th>
          <th scope="col" class="column-agent">
            Agent
          </th>
          <th scope="col">Wants to run</th>
          <th scope="col" class="column-risk">
            Risk
          </th>
          <th scope="col" class="column-answered">
            Answered
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((one) => (
          <tr
            key={one.approval_id}
            aria-selected={one.approval_id === selected}
            class={isWaiting(one) ? "waiting-row" : "waiting-row just-decided"}
            {...roving.row(one.approval_id)}
          >
            <td class="cell-left">{isWaiting(one) ? <TimeLeft one={one} at={at} /> : <JustDecided one={one} />}</td>
            <td class="cell-agent">
              <AgentName name={one.agent} />
            </td>
            <td class="cell-call">
              <Call one={one} />
            </td>
            <td class="cell-risk">
              <Risk one={one} />
            </td>
            <td class="cell-answered" title={visible(one.passed.join(", "))}>
              {one.passed.length} of {one.quorum}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function TimeLeft({ one, at }: { one: ApprovalView; at: number }) {
  const deadline = deadlineOf(one, at);
  if (deadline === null) return <span class="quiet">{UNKNOWN}</span>;
  const left = Math.max(0, deadline - now.value);
  const allowed = allowedOf(one);
  return (
    <span class="time-left" title={`until ${whole(new Date(deadline).toISOString())}`}>
      <span class="named">{countdown(left)}</span>
      <Meter
        share={allowed > 0 ? left / allowed : 0}
        tone={left < SOON_MS ? "attention" : undefined}
        label={`${countdown(left)} of ${countdown(allowed)} left`}
      />
    </span>
  );
}

function JustDecided({ one }: { one: ApprovalView }) {
  const { sign, tone } = verdictOf(one.state);
  return (
    <span class="time-left" title={`${visible(one.state)} by ${deciders(one.decided_by)}`}>
      <span class={`named tone-${tone} with-sign`}>
        <Sign name={sign} size={14} /> {visible(one.state)}
      </span>
      <span class="quiet cut">by {deciders(one.decided_by)}</span>
    </span>
  );
}

export function Call({ one }: { one: ApprovalView }) {
  const words = one.arguments ? argumentWords(one.arguments) : "";
  const action = visible(one.action);
  return (
    <span class="cut call" title={`${action}(${words})`}>
      <b>{action}</b>
      <span class="second">({words})</span>
    </span>
  );
}
