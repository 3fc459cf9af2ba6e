import { signal } from "@preact/signals";
import { now } from "../base/clock.ts";
import { clock, coarse, many, number, shortId, UNKNOWN, visible } from "../base/format.ts";
import { setParams } from "../base/router.ts";
import { isDark, switchTheme } from "../base/settings.ts";
import type { Verify } from "../base/wire.ts";
import { Button } from "../parts/parts.tsx";
import { Sign } from "../parts/Sign.tsx";
import { isBehind } from "../stream/rows.ts";
import { connectNow, droppedHere, health, link, rows, session, tenant, tick } from "../stream/state.ts";
import { keyListIsOpen } from "./keys.ts";
import { Search } from "./Search.tsx";

export function TopBar() {
  const who = session.value;
  const hub = who !== null && who !== "unknown" ? who.hub : null;
  return (
    <header class="top">
      <a class="brand" href="#/live" aria-label="hubwire: Live">
        <Sign name="mark" class="tone-accent" size={18} />
        <b>hubwire</b>
      </a>
      <div class="top-part hub-name">
        <b class="cut" title={hub ? visible(hub.name) : ""}>
          {hub ? visible(hub.name) || "hub" : ""}
        </b>
        {hub?.name !== shortId(hub?.id ?? "") && <code title={hub?.id}>{shortId(hub?.id ?? "")}</code>}
      </div>
      <LinkState />
      <Rate />
      <Dropped />
      <VerifyState />
      <span class="space" />
      <TenantMenu />
      <Search />
      <Button
        look="sign"
        class="only-wide"
        sign={isDark() ? "sun" : "moon"}
        label={isDark() ? "Light theme (t)" : "Dark theme (t)"}
        onClick={switchTheme}
      />
      <Button
        look="sign"
        class="only-wide question"
        label="Keys (?)"
        onClick={() => {
          keyListIsOpen.value = true;
        }}
      >
        ?
      </Button>
    </header>
  );
}

function LinkState() {
  const state = health.value;
  const { value } = link;
  const who = session.value;
  void now.value;
  if (state === "live" && who !== null && who !== "unknown" && who.source === "log") return <LogState />;
  if (value.state !== "lost") {
    const lag = tick.value?.lag_ms;
    return (
      <div class="top-part link-state">
        <span class={state === "live" ? "dot dot-good" : "dot"} aria-hidden="true" />
        <span class="named">{state === "live" ? "Live" : "Connecting"}</span>
        {state === "live" && lag !== null && lag !== undefined && <span class="quiet">lag {number(lag)} ms</span>}
      </div>
    );
  }
  if (state === "stale") {
    return (
      <div class="top-part link-state">
        <Sign name="late" class="tone-attention" size={14} />
        <span class="named attention">Stale since {clock(value.since)}</span>
        <span class="quiet">{coarse(now.value - value.since)} old</span>
      </div>
    );
  }
  const left = value.againAt - Date.now();
  return (
    <div class="top-part link-state">
      <Sign name="again" class="tone-attention" size={14} />
      <span class="named attention">{left > 0 ? `Reconnecting in ${coarse(left + 999)}` : "Reconnecting"}</span>
      <Button look="plain" onClick={connectNow}>
        Now
      </Button>
    </div>
  );
}

/** A log without a hub that answers for it: what it shows is as of its last event. */
function LogState() {
  const hub = tick.value?.hub;
  return (
    <div class="top-part link-state">
      <span class="dot" aria-hidden="true" />
      <span class="named">Log</span>
      {hub?.at && (
        <span class="quiet">
          {hub.state === "stopped" ? "hub stopped at" : "as of"} {clock(hub.at)}
        </span>
      )}
    </div>
  );
}

const LINE = { width: 84, height: 18 };

function Rate() {
  const heard = tick.value;
  const isLive = health.value === "live" || health.value === "connecting";
  const rate = heard && isLive ? heard.rate : [];
  const isKnown = heard && isLive && !isBehind(heard.hub.at, rows.newestAt);
  const current = isKnown ? number(Math.round(heard.hub.events_per_second)) : UNKNOWN;
  return (
    <div class="top-part rate" title="Events a second, and the last 60 seconds of them">
      <span class="rate-number named">{current}</span>
      <span class="quiet">/s</span>
      <Sparkline values={rate} />
    </div>
  );
}

/** A small line over an area; no values: the ground alone. */
export function Sparkline({ values, label }: { values: readonly number[]; label?: string }) {
  const peak = Math.max(1, ...values);
  const { width, height } = LINE;
  const step = width / Math.max(1, values.length - 1);
  const points = values.map(
    (value, index) => `${(index * step).toFixed(1)},${(height - 1 - (value / peak) * (height - 4)).toFixed(1)}`,
  );
  const isFlat = values.every((value) => value === 0);
  return (
    <svg
      class="sparkline"
      width={width}
      height={height}
      viewBox={`0 0 ${width} ${height}`}
      {...(label ? { role: "img" as const, "aria-label": label } : { "aria-hidden": true })}
    >
      {isFlat ? (
        <path class="sparkline-ground" d={`M0 ${height - 0.5}H${width}`} />
      ) : (
        <>
          <polygon class="sparkline-area" points={`0,${height} ${points.join(" ")} ${width},${height}`} />
          <polyline class="sparkline-line" points={points.join(" ")} />
        </>
      )}
    </svg>
  );
}

const droppedIsOpen = signal(false);

function Dropped() {
  const heard = tick.value?.dropped;
  const all = droppedHere.value + (heard?.listeners ?? 0);
  if (all === 0) return null;
  return (
    <div class="top-part dropped">
      <button
        type="button"
        class="boxed wrong"
        aria-expanded={droppedIsOpen.value}
        onClick={() => {
          droppedIsOpen.value = !droppedIsOpen.value;
        }}
        onBlur={() => {
          droppedIsOpen.value = false;
        }}
      >
        {number(all)} dropped
      </button>
      {droppedIsOpen.value && (
        <ul class="menu">
          {droppedHere.value > 0 && <li>{many(droppedHere.value, "event")} did not reach this page: it fell behind</li>}
          {heard?.by.map(({ listener, dropped }) => (
            <li key={listener}>
              <b>{visible(listener)}</b> dropped {many(dropped, "event")}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

export function verifyWords(verify: Verify): string {
  if (verify.state === "checking") return `Checking #${number(verify.seq)} of #${number(verify.of)}`;
  if (verify.state === "verified") return `Verified to #${number(verify.seq)}`;
  if (verify.state === "broken") return `Log broken at #${number(verify.seq)}`;
  if (verify.state === "stopped") return verify.seq ? `Checked to #${number(verify.seq)}, stopped` : "Check stopped";
  return "Not verified yet";
}

function VerifyState() {
  const verify = tick.value?.verify;
  if (!verify) return null;
  const words = verifyWords(verify);
  if (verify.state === "broken") {
    return (
      <a class="top-part verify" href="#/log">
        <span class="boxed wrong">
          <Sign name="failed" size={12} /> {words}
        </span>
      </a>
    );
  }
  const sign = verify.state === "verified" ? "ok" : verify.state === "checking" ? "open" : null;
  return (
    <a class="top-part verify" href="#/log" title={verify.text}>
      {sign && <Sign name={sign} size={14} class={sign === "ok" ? "tone-good" : "tone-accent"} />}
      <span>{words}</span>
    </a>
  );
}

/** The tenants that were seen in rows: what there is to choose from for who may see all. */
const seenTenants = signal<readonly string[]>([]);

export function learnTenants(): void {
  const seen = new Set(seenTenants.peek());
  const before = seen.size;
  for (let index = rows.all.length - 1; index >= Math.max(0, rows.all.length - 500); index -= 1) {
    const entry = rows.all.at(index);
    if (entry && "tenant" in entry && entry.tenant && seen.size < 50) seen.add(entry.tenant);
  }
  if (seen.size > before) seenTenants.value = [...seen].sort();
}

function TenantMenu() {
  const who = session.value;
  const given = who !== null && who !== "unknown" ? who.tenants : null;
  const known = given ?? seenTenants.value;
  const names = tenant.value && !known.includes(tenant.value) ? [...known, tenant.value] : known;
  if (names.length < 2) return null;
  return (
    <label class="tenant only-wide">
      <span>Tenant</span>
      <select
        value={tenant.value}
        onChange={(event) => setParams({ tenant: event.currentTarget.value || null }, false)}
      >
        <option value="">All tenants</option>
        {names.map((name) => (
          <option key={name} value={name}>
            {visible(name)}
          </option>
        ))}
      </select>
    </label>
  );
}
