// Five figures: the hub, the latency of its store, the journal, the audit log, the ring.

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { bytes, duration, many, number, UNKNOWN, visible } from "../../base/format.ts";
import type { Listeners, Verify } from "../../base/wire.ts";
import { Sparkline } from "../../frame/TopBar.tsx";
import { Meter } from "../../parts/parts.tsx";
import { tick } from "../../stream/state.ts";

const HISTORY = 60;
/** The latencies that were read while this view was shown: the server tells only the present one. */
const latencies = signal<readonly number[]>([]);

function Figure(props: {
  name: string;
  value: ComponentChildren;
  isWrong?: boolean;
  chart?: ComponentChildren;
  children?: ComponentChildren;
}) {
  return (
    <div class="figure">
      <dt>{props.name}</dt>
      <dd>
        <span class="figure-line">
          <b class={props.isWrong ? "figure-value wrong" : "figure-value"}>{props.value}</b>
          {props.chart && <span class="figure-chart">{props.chart}</span>}
        </span>
        <span class="figure-words">{props.children}</span>
      </dd>
    </div>
  );
}

export function Figures({ read }: { read: Listeners }) {
  const { hub, store, journal, audit, ring } = read.figures;
  useEffect(() => {
    if (store) latencies.value = [...latencies.peek(), store.p50_ms].slice(-HISTORY);
  }, [read]);
  const problems = hub.problems ?? [];
  const isWrong = hub.healthy === false || problems.length > 0;
  const waiting = hub.emitters_waiting;
  const share = journal?.limit_bytes ? journal.bytes / journal.limit_bytes : null;
  return (
    <dl class="figures">
      <Figure
        name="Hub"
        value={hub.healthy === undefined ? UNKNOWN : isWrong ? "Not healthy" : "Healthy"}
        isWrong={isWrong}
      >
        <span class="cut" title={visible(problems.join("\n"))}>
          {problems.length ? visible(problems.join(" · ")) : hub.healthy ? "keeps all that it owes" : "no hub tells"}
        </span>
      </Figure>
      <Figure
        name="Store latency"
        value={latency(store?.p50_ms)}
        chart={
          latencies.value.length > 1 && (
            <Sparkline values={latencies.value} label="Store latency since this was opened" />
          )
        }
      >
        {store ? `p99 ${latency(store.p99_ms)}` : "the store does not tell"}
      </Figure>
      <Figure
        name="Journal"
        value={journal ? bytes(journal.bytes) : UNKNOWN}
        chart={share !== null && <Meter share={share} label={`${Math.round(share * 100)} % of what it may have`} />}
      >
        {journal
          ? `${journal.limit_bytes ? `of ${bytes(journal.limit_bytes)}, ` : ""}from #${number(journal.first_seq)}`
          : "there is none"}
      </Figure>
      <Figure name="Audit log" value={audit ? bytes(audit.bytes) : UNKNOWN}>
        {audit ? auditWords(audit, tick.value?.verify) : "no AuditLog is attached"}
      </Figure>
      <Figure
        name="Ring"
        value={ring ? number(ring.held) : UNKNOWN}
        chart={
          ring &&
          ring.capacity > 0 && (
            <Meter
              share={ring.held / ring.capacity}
              label={`${number(ring.held)} of ${number(ring.capacity)} events`}
            />
          )
        }
      >
        {ring ? `of ${number(ring.capacity)}` : "no hub tells"}
        {typeof waiting === "number" &&
          ` · ${waiting ? many(waiting, "emitter waits", "emitters wait") : "nobody waits"} to emit`}
      </Figure>
    </dl>
  );
}

/** With a digit after the point where it counts: 3.1 ms. */
function latency(ms: number | null | undefined): string {
  return typeof ms === "number" && ms >= 0.05 && ms < 99.5 ? `${ms.toFixed(1)} ms` : duration(ms);
}

function auditWords(audit: NonNullable<Listeners["figures"]["audit"]>, verify: Verify | undefined): string {
  const held = audit.segments ? `in ${many(audit.segments, "segment")}` : many(audit.records, "record");
  if (verify?.state === "verified") return `${held} · verified to #${number(verify.seq)}`;
  if (verify?.state === "broken") return `${held} · broken at #${number(verify.seq)}`;
  return held;
}
