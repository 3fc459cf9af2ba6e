// Five figures: the hub, the latency of its store, the journal, the audit log, the ring.

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { bytes, duration, many, number, UNKNOWN, visible } from "../../base/format.ts";
import type { Listeners, Figures as Read, Verify } from "../../base/wire.ts";
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
  const { hub, store, journal, audit, ring, feeds } = read.figures;
  const p50 = store?.p50_ms;
  useEffect(() => {
    if (typeof p50 === "number") latencies.value = [...latencies.peek(), p50].slice(-HISTORY);
  }, [read]);
  const share = journal?.limit_bytes ? journal.bytes / journal.limit_bytes : null;
  return (
    <dl class="figures">
      <HubFigure hub={hub} />
      <Figure
        name="Store latency"
        value={latency(p50)}
        chart={
          latencies.value.length > 1 && (
            <Sparkline values={latencies.value} label="Store latency since this was opened" />
          )
        }
      >
        {storeWords(store)}
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
      <RingFigure ring={ring} feeds={feeds} waiting={hub?.emitters_waiting} />
    </dl>
  );
}

function HubFigure({ hub }: { hub: Read["hub"] }) {
  const problems = hub?.problems ?? [];
  const isWrong = hub?.healthy === false;
  const lag = hub?.loop_lag_ms;
  const well = typeof lag === "number" ? `its loop lags ${latency(lag)}` : "keeps all that it owes";
  const words = problems.length ? visible(problems.join(" · ")) : hub ? well : "no hub tells: this is a log";
  return (
    <Figure name="Hub" value={!hub ? UNKNOWN : isWrong ? "Not healthy" : "Healthy"} isWrong={isWrong}>
      <span class="cut" title={words}>
        {words}
      </span>
    </Figure>
  );
}

function RingFigure({
  ring,
  feeds,
  waiting,
}: {
  ring: Read["ring"];
  feeds: Read["feeds"];
  waiting: number | null | undefined;
}) {
  const capacity = ring?.capacity ?? 0;
  const held = ring?.held ?? 0;
  const words = [
    ring ? (capacity > 0 ? `of ${number(capacity)}` : "events") : "no hub tells",
    // Only large events are weighed.
    Boolean(ring?.bytes) && bytes(ring?.bytes),
    typeof waiting === "number" &&
      `${waiting ? many(waiting, "emitter waits", "emitters wait") : "nobody waits"} to emit`,
    feeds && `${many(feeds.count, "feed")}: ${number(feeds.waiting)} queued, ${number(feeds.dropped)} left out`,
  ].filter(Boolean);
  return (
    <Figure
      name="Ring"
      value={ring ? number(held) : UNKNOWN}
      chart={capacity > 0 && <Meter share={held / capacity} label={`${number(held)} of ${number(capacity)} events`} />}
    >
      {words.join(" · ")}
    </Figure>
  );
}

function storeWords(store: Read["store"]): string {
  if (typeof store?.p99_ms === "number") return `p99 ${latency(store.p99_ms)}`;
  if (store?.stalled_ms) return `an event has waited for ${latency(store.stalled_ms)}`;
  return store ? "nothing waits to be committed" : "the store does not tell";
}

/** With a digit after the point where it counts: 3.1 ms. */
function latency(ms: number | null | undefined): string {
  return typeof ms === "number" && ms >= 0.05 && ms < 99.5 ? `${ms.toFixed(1)} ms` : duration(ms);
}

function auditWords(audit: NonNullable<Read["audit"]>, verify: Verify | undefined): string {
  const held = audit.segments ? `in ${many(audit.segments, "segment")}` : many(audit.records, "record");
  if (verify?.state === "verified") return `${held} · verified to #${number(verify.seq)}`;
  if (verify?.state === "broken") return `${held} · broken at #${number(verify.seq)}`;
  return held;
}
