import { number, UNKNOWN, visible } from "../../base/format.ts";
import { href } from "../../base/router.ts";
import { select } from "../../base/selected.ts";
import type { ListenerRow } from "../../base/wire.ts";
import { Drawer, DrawerTitle } from "../../frame/Drawer.tsx";
import { Age, Button, Facts } from "../../parts/parts.tsx";
import { Sign } from "../../parts/Sign.tsx";
import { Resume } from "./Attachments.tsx";
import { dutyWords, isGivenUp, isSuspended, isWrong, stateOf } from "./words.ts";

export interface ListenerDrawerProps {
  row: ListenerRow | null;
  onClose: () => void;
  onDone: () => void;
}

export function ListenerDrawer({ row, onClose, onDone }: ListenerDrawerProps) {
  const state = row && stateOf(row);
  return (
    <Drawer
      label="Listener"
      moves
      onClose={onClose}
      head={
        <>
          <Sign name="listener" class="family-plumbing" />
          <DrawerTitle>{row ? visible(row.listener) : "Listener"}</DrawerTitle>
        </>
      }
    >
      {!row || !state ? (
        <p class="note">This listener is not there: it was detached long ago, or has another name now.</p>
      ) : (
        <>
          <section class="drawer-part">
            <p class="listener-words">
              <Sign name={state.sign} size={14} class={`tone-${state.tone}`} />{" "}
              <b class={isWrong(row) ? "wrong" : undefined}>{state.words}</b>
              {row.reason && `: ${visible(row.reason)}`}
            </p>
            {isSuspended(row) && <p class="second">It gets no event until it is resumed; none is lost meanwhile.</p>}
            {isGivenUp(row) && <p class="second">It gets no event any more: the program has to attach it again.</p>}
            {row.last_error && <pre class="error-text">{visible(row.last_error.slice(0, 20_000))}</pre>}
            {isSuspended(row) && <Resume name={row.listener} onDone={onDone} />}
          </section>
          <section class="drawer-part">
            <Facts
              rows={[
                ["duty", dutyWords(row.duty)],
                ["kinds", visible(row.pattern.join(", "))],
                ["since", row.since_at && <Age at={row.since_at} />],
                ["last error", row.last_error_at && <Age at={row.last_error_at} />],
                ["lag", number(row.lag)],
                ["handled", number(row.handled)],
                ["dropped", number(row.dropped)],
                ["failed", number(row.failed)],
                ["retries", row.retries === undefined ? UNKNOWN : number(row.retries)],
                ["restarts", number(row.restarts)],
                ["dead letters", number(row.dead_letters)],
              ]}
            />
          </section>
          <section class="drawer-part linked-places">
            <a href={href("log", "", { text: [row.listener], kind: ["listener.*"] })}>
              What happened to it, in the log
            </a>
            {row.dead_letters > 0 && (
              <Button look="plain" onClick={() => select(null, { listener: row.listener })}>
                Only its dead letters
              </Button>
            )}
          </section>
        </>
      )}
    </Drawer>
  );
}
