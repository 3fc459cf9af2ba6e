// At most one banner above a view, the worst first.

import { now } from "../base/clock.ts";
import { clock, coarse, number, sentence, shortId, visible } from "../base/format.ts";
import { goView, href } from "../base/router.ts";
import { Button } from "../parts/parts.tsx";
import { Sign } from "../parts/Sign.tsx";
import { connectNow, health, link, otherHub, tick } from "../stream/state.ts";

export function Banner() {
  const heard = tick.value;
  if (heard?.verify.state === "broken") {
    return (
      <div class="banner banner-wrong" role="alert">
        <Sign name="failed" class="tone-wrong" />
        <p>
          <b>The audit log is broken at #{number(heard.verify.seq)}:</b>{" "}
          {sentence(visible(heard.verify.text || "a record was changed after it was written"))}
        </p>
        <a href={href("log")}>What to do</a>
      </div>
    );
  }
  if (heard?.problem) {
    return (
      <div class="banner banner-wrong" role="alert">
        <Sign name="failed" class="tone-wrong" />
        <p>
          <b>{sentence(visible(heard.problem.text))}</b> {visible(heard.problem.suggestion)}
        </p>
        <a href={href("listeners")}>Listeners</a>
      </div>
    );
  }
  if (health.value === "stale") return <StaleBanner />;
  const other = otherHub.value;
  if (other === null) return null;
  const show = () => {
    otherHub.value = null;
    goView("live");
  };
  return (
    <div class="banner" role="status">
      <Sign name="again" />
      <p>
        This is another hub than before ({shortId(other.is)}
        {other.was && `, was ${shortId(other.was)}`}): its numbers begin anew.
      </p>
      <Button look="plain" onClick={show}>
        Show it
      </Button>
    </div>
  );
}

function StaleBanner() {
  const { value } = link;
  if (value.state !== "lost") return null;
  const left = value.againAt - Date.now();
  void now.value;
  return (
    <div class="banner banner-attention" role="status">
      <Sign name="late" class="tone-attention" />
      <p>
        <b>Nothing heard since {clock(value.since)}.</b> What you see may have changed.{" "}
        {left > 0 ? `Trying again in ${coarse(left + 999)}.` : "Trying again."}
      </p>
      <Button look="plain" onClick={connectNow}>
        Now
      </Button>
    </div>
  );
}
