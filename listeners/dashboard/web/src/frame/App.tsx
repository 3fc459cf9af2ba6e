import { place, type View } from "../base/router.ts";
import { session } from "../stream/state.ts";
import { Agents } from "../views/agents.tsx";
import { Approvals } from "../views/approvals.tsx";
import { Channels } from "../views/channels.tsx";
import { Listeners } from "../views/listeners.tsx";
import { Live } from "../views/live.tsx";
import { Log } from "../views/log.tsx";
import { Runs } from "../views/runs.tsx";
import { Banner } from "./Banner.tsx";
import { Guard } from "./Guard.tsx";
import { KeyList } from "./KeyList.tsx";
import { Rail, Tabs } from "./Rail.tsx";
import { SignIn } from "./SignIn.tsx";
import { LiveRegion } from "./say.tsx";
import { TopBar } from "./TopBar.tsx";

const SHOWN: Record<View, () => preact.ComponentChildren> = {
  live: () => <Live />,
  agents: () => <Agents />,
  channels: () => <Channels />,
  runs: () => <Runs />,
  approvals: () => <Approvals />,
  listeners: () => <Listeners />,
  log: () => <Log />,
};

export function App({ refused }: { refused: string }) {
  if (session.value === null) return <SignIn refused={refused} />;
  return (
    <>
      <button type="button" class="skip" onClick={skip}>
        To the contents
      </button>
      <TopBar />
      <div class="body">
        <Rail />
        <main id="main" class="main" tabIndex={-1}>
          <Banner />
          <div class="stage">
            <Guard key={place.value.view}>{SHOWN[place.value.view]()}</Guard>
          </div>
        </main>
      </div>
      <Tabs />
      <KeyList />
      <LiveRegion />
    </>
  );
}

function skip(): void {
  document.getElementById("main")?.focus();
}
