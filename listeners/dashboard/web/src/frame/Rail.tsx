import { signal } from "@preact/signals";
import { number } from "../base/format.ts";
import { href, place, VIEWS, type View } from "../base/router.ts";
import { Sign } from "../parts/Sign.tsx";
import { session, tick } from "../stream/state.ts";

const NAMES: Record<View, string> = {
  live: "Live",
  agents: "Agents",
  channels: "Channels",
  runs: "Runs",
  approvals: "Approvals",
  listeners: "Listeners",
  log: "Log",
};

/** What waits, or is troubled: the number beside a section. */
function Count({ view }: { view: View }) {
  const hub = tick.value?.hub;
  if (view === "approvals" && hub?.approvals_waiting) {
    return (
      <span class="count count-filled">
        {number(hub.approvals_waiting)}
        <span class="unseen"> waiting</span>
      </span>
    );
  }
  if (view === "listeners" && hub?.listeners_troubled) {
    return (
      <span class="count count-wrong">
        {number(hub.listeners_troubled)}
        <span class="unseen"> troubled</span>
      </span>
    );
  }
  return null;
}

function Item({ view }: { view: View }) {
  const isHere = place.value.view === view;
  return (
    <a class="rail-item" href={href(view)} aria-current={isHere ? "page" : undefined} title={NAMES[view]}>
      <Sign name={view} />
      <span class="rail-name">{NAMES[view]}</span>
      <Count view={view} />
    </a>
  );
}

export function Rail() {
  const who = session.value;
  return (
    <nav class="rail" aria-label="Views">
      {VIEWS.map((view) => (
        <Item key={view} view={view} />
      ))}
      <span class="space" />
      {who !== null && who !== "unknown" && (
        <p class="who">
          <span class="cut" title={who.person}>
            {who.person}
          </span>
          <span>{who.role === "read" ? "may look" : who.role === "operate" ? "may operate" : "may do all"}</span>
        </p>
      )}
    </nav>
  );
}

const TABS: readonly View[] = ["live", "agents", "runs", "approvals"];
const moreIsOpen = signal(false);

/** The rail of a narrow page: it lies at the foot, and the rest is behind More. */
export function Tabs() {
  const hub = tick.value?.hub;
  const others = VIEWS.filter((view) => !TABS.includes(view));
  const isMore = others.includes(place.value.view);
  const close = () => {
    moreIsOpen.value = false;
  };
  return (
    <nav class="tabs" aria-label="Views">
      {moreIsOpen.value && (
        // biome-ignore lint/a11y/noStaticElementInteractions: a click on a link in it
        <div class="tabs-more" onClick={close}>
          {others.map((view) => (
            <Item key={view} view={view} />
          ))}
        </div>
      )}
      {TABS.map((view) => (
        <Item key={view} view={view} />
      ))}
      <button
        type="button"
        class={isMore ? "rail-item here" : "rail-item"}
        aria-expanded={moreIsOpen.value}
        onClick={() => {
          moreIsOpen.value = !moreIsOpen.value;
        }}
      >
        <Sign name="more" />
        <span class="rail-name">More</span>
        {hub?.listeners_troubled ? <span class="dot-wrong" role="img" aria-label="listeners are troubled" /> : null}
      </button>
    </nav>
  );
}
