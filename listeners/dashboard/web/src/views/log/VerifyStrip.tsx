// Whether the log is whole: asked for by the reader, with how far it is, how long it takes, and a way to stop.

import { useEffect, useState } from "preact/hooks";
import { api, type Trouble, troubleOf } from "../../base/api.ts";
import { coarse, number, sentence, visible } from "../../base/format.ts";
import type { Verify } from "../../base/wire.ts";
import { Age, Button, Meter } from "../../parts/parts.tsx";
import { Sign } from "../../parts/Sign.tsx";
import { health, tick } from "../../stream/state.ts";

export function VerifyStrip() {
  const heard = tick.value?.verify ?? null;
  const [told, setTold] = useState<Verify | null>(null);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const [isAsking, setAsking] = useState(false);
  // What a tick says is newer than what the last request was answered.
  useEffect(() => setTold(null), [heard]);
  const verify = told ?? heard;
  const ask = async (request: () => Promise<Verify | undefined>) => {
    setAsking(true);
    setTrouble(null);
    try {
      const answer = await request();
      if (answer) setTold(answer);
    } catch (error) {
      setTrouble(troubleOf(error));
    }
    setAsking(false);
  };
  const off = health.value === "live" ? (isAsking ? "It is being asked for." : "") : "The hub does not answer.";
  const isChecking = verify?.state === "checking";
  const words = verify && verify.state !== "none" && verify.state !== "stopped" ? "Verify again" : "Verify";
  return (
    <div class={`verify-strip verify-${verify?.state ?? "none"}`}>
      <Words verify={verify} />
      {trouble && (
        <span class="wrong cut" role="alert" title={`${trouble.message} ${trouble.suggestion}`}>
          {trouble.message} {trouble.suggestion}
        </span>
      )}
      <span class="space" />
      {isChecking ? (
        <Button look="plain" off={off} onClick={() => void ask(api.stopVerify)}>
          Stop
        </Button>
      ) : (
        <Button look="plain" off={off} onClick={() => void ask(api.startVerify)}>
          {words}
        </Button>
      )}
    </div>
  );
}

function Words({ verify }: { verify: Verify | null }) {
  const seq = number(verify?.seq);
  const when = verify?.at ? <Age at={verify.at} /> : null;
  if (verify?.state === "checking") return <Checking verify={verify} />;
  if (verify?.state === "verified") {
    return (
      <>
        <Sign name="ok" size={14} class="tone-good" />
        <span>
          <b>Verified to #{seq}.</b> <span class="second">No record was changed, left out or added.</span>
        </span>
        {when && <span class="quiet">{when}</span>}
      </>
    );
  }
  if (verify?.state === "broken") {
    return (
      <>
        <Sign name="failed" size={14} class="tone-wrong" />
        <span>
          <b class="wrong">Log broken at #{seq}:</b>{" "}
          {sentence(visible(verify.text || "this record was changed after it was written"))}{" "}
          <span class="second">
            Keep the log as it is, and compare it with a copy. <code>hubwire verify</code> names each record that does
            not fit.
          </span>
        </span>
      </>
    );
  }
  if (verify?.state === "stopped") {
    return (
      <>
        <Sign name="abandoned" size={14} class="tone-quiet" />
        <span class="second">
          {verify.seq ? `Checked to #${seq}, all right so far; then stopped.` : "The check was stopped."}
        </span>
      </>
    );
  }
  return (
    <>
      <Sign name="log" size={14} class="tone-quiet" />
      <span class="second">Not verified yet. A check reads every record, and proves that none was changed.</span>
    </>
  );
}

function Checking({ verify }: { verify: Verify }) {
  const seq = verify.seq ?? 0;
  const of = verify.of ?? 0;
  const left = verify.seconds_left;
  return (
    <>
      <Sign name="open" size={14} class="tone-accent" />
      <span class="checking-words">
        <b>Checking the log:</b>{" "}
        <span class="second">
          {number(seq)} of {number(of)} records, all right so far
        </span>
      </span>
      <span class="checking-bar">
        <Meter
          tone="accent"
          share={of > 0 ? seq / of : 0}
          label={`${Math.floor(of > 0 ? (seq / of) * 100 : 0)} % checked`}
        />
      </span>
      {typeof left === "number" && <span class="quiet">{coarse(Math.ceil(left) * 1000)} left</span>}
    </>
  );
}
