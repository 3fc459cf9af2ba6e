// How dangerous a call is: four steps, a word and a number; and how it came to that.

import type { ApprovalView, RiskStepView } from "../../base/boards.ts";
import { many, UNKNOWN, visible } from "../../base/format.ts";
import { PartTitle } from "../../frame/Drawer.tsx";
import { Sign } from "../../parts/Sign.tsx";
import { isHigh, stepsOf } from "./words.ts";

const HEIGHTS = [4, 6, 8, 10];

export function RiskBars({ level }: { level: string }) {
  const full = stepsOf(level);
  return (
    <svg class={isHigh(level) ? "risk-bars risk-high" : "risk-bars"} width={22} height={12} aria-hidden="true">
      {HEIGHTS.map((height, index) => (
        <rect
          key={height}
          class={index < full ? "risk-on" : "risk-off"}
          x={index * 6}
          y={11 - height}
          width={4}
          height={height}
        />
      ))}
    </svg>
  );
}

export function scoreWords(score: number | null | undefined): string {
  return typeof score === "number" ? score.toFixed(2) : UNKNOWN;
}

export function Risk({ one }: { one: ApprovalView }) {
  if (!one.risk_level) return <span class="quiet">{UNKNOWN}</span>;
  return (
    <span class="risk" title={`risk ${visible(one.risk_level)}, ${scoreWords(one.risk_score)}`}>
      <RiskBars level={one.risk_level} />
      <span class={isHigh(one.risk_level) ? "named attention" : "named"}>{visible(one.risk_level)}</span>
      <span class="quiet">{scoreWords(one.risk_score)}</span>
    </span>
  );
}

/** The steps of the risk, and who was asked. */
export function RiskPart({ one }: { one: ApprovalView }) {
  const high = isHigh(one.risk_level);
  return (
    <section class="drawer-part">
      <PartTitle>Risk</PartTitle>
      <table class="risk-steps">
        <caption class="unseen">How the risk came about, step by step</caption>
        <tbody>
          {one.risk_steps.map((step, index) => (
            <StepRow key={index} step={step} />
          ))}
          <tr>
            <th scope="row">
              <Sign name="warning" size={14} class={`risk-step-sign ${high ? "tone-attention" : "tone-quiet"}`} />
              remains
            </th>
            <td class={high ? "named attention" : "named"}>{scoreWords(one.risk_score)}</td>
            <td>
              {one.risk_level && <span class={high ? "tag tag-attention" : "tag"}>{visible(one.risk_level)}</span>}
            </td>
          </tr>
          <tr>
            <th scope="row">
              <Sign name="person" size={14} class="risk-step-sign tone-quiet" />
              asked
            </th>
            <td class="named">
              {one.passed.length} of {one.quorum}
            </td>
            <td>{askedWords(one)}</td>
          </tr>
        </tbody>
      </table>
    </section>
  );
}

function StepRow({ step }: { step: RiskStepView }) {
  const isTrust = step.scorer === "trust";
  const scorer = visible(step.scorer);
  const reason = visible(step.reason);
  const words = isTrust ? reason : [scorer && `by ${scorer}`, reason].filter(Boolean).join(": ");
  return (
    <tr>
      <th scope="row">
        <Sign name={isTrust ? "agent" : "expectation"} size={14} class="risk-step-sign tone-quiet" />
        {isTrust ? "trust" : "scored"}
      </th>
      <td class="named">{step.score || UNKNOWN}</td>
      <td>{words}</td>
    </tr>
  );
}

function askedWords(one: ApprovalView): string {
  const answered = [
    one.passed.length && `${one.passed.join(", ")} passed it`,
    one.failed.length && `${one.failed.join(", ")} did not pass it`,
  ].filter(Boolean);
  const open = one.approvers.filter((name) => !one.passed.includes(name) && !one.failed.includes(name));
  const waits = one.state === "waiting" && open.length ? `may answer: ${open.join(", ")}` : "";
  const reminded = one.reminders ? `reminded ${many(one.reminders, "time")}` : "";
  return visible([...answered, waits, reminded].filter(Boolean).join(" · "));
}
