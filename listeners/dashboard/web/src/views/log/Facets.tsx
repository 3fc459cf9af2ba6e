// What the found events are, counted by field: each is a filter.

import { number, visible } from "../../base/format.ts";
import { paramAll, place, setParams } from "../../base/router.ts";
import type { Outcome, Facets as Read } from "../../base/wire.ts";
import { AgentName } from "../../parts/parts.tsx";
import { KindSign, OutcomeSign } from "../../parts/Sign.tsx";
import { nameOf } from "./names.ts";
import { withoutPart, withPart } from "./query.ts";

export const FACETS = ["kind", "outcome", "tool", "error_type", "agent", "channel", "tenant"] as const;
const HEADS: Record<string, string> = {
  kind: "Kind",
  outcome: "Outcome",
  tool: "Tool",
  error_type: "Error",
  agent: "Agent",
  channel: "Channel",
  tenant: "Tenant",
};
/** The signs of outcomes, by the words of records and of rows. */
const OUTCOMES: Record<string, Outcome> = {
  success: "ok",
  failure: "failed",
  ...Object.fromEntries(
    (["ok", "failed", "refused", "denied", "expired", "abandoned", "late", "open"] as const).map((each) => [
      each,
      each,
    ]),
  ),
};
const SHOWN = 8;

/** The filter by what is counted: of an error, its type is. */
export function filterOf(field: string): string {
  return field === "error_type" ? "error" : field;
}

export function FacetList({ read }: { read: Read }) {
  const fields = FACETS.filter((field) => (read.facets[field] ?? []).length > 0);
  return (
    <>
      {fields.map((field) => (
        <Group key={field} field={field} values={read.facets[field] ?? []} counted={read.counted} />
      ))}
    </>
  );
}

function Group({
  field,
  values,
  counted,
}: {
  field: string;
  values: readonly [string, number, string?][];
  counted: number;
}) {
  const shown = values.slice(0, SHOWN);
  const others = values.slice(SHOWN);
  const left = others.reduce((sum, [, count]) => sum + count, 0);
  return (
    <section class="facet" aria-label={HEADS[field]}>
      <h2>{HEADS[field]}</h2>
      <ul>
        {shown.map(([value, count]) => (
          <li key={value}>
            <FacetButton field={field} value={value} count={count} counted={counted} />
          </li>
        ))}
        {others.length > 0 && (
          <li class="facet-others quiet">
            <span>{number(others.length)} others</span>
            <span>{number(left)}</span>
          </li>
        )}
      </ul>
    </section>
  );
}

function FacetButton(props: { field: string; value: string; count: number; counted: number }) {
  const { value, count, counted } = props;
  const field = filterOf(props.field);
  const isOn = paramAll(field).includes(value);
  const press = () => {
    const { params } = place.peek();
    setParams(isOn ? withoutPart(params, { field, value }) : withPart(params, { field, value }), false);
  };
  const share = counted > 0 ? count / counted : 0;
  return (
    <button type="button" class="facet-button" aria-pressed={isOn} onClick={press}>
      <span class="facet-words">
        <Words field={field} value={value} />
      </span>
      <span class="facet-count">{number(count)}</span>
      <span class="facet-bar" style={{ width: `${Math.max(0.5, Math.min(1, share) * 100).toFixed(1)}%` }} />
    </button>
  );
}

function Words({ field, value }: { field: string; value: string }) {
  const name = visible(nameOf(value));
  if (field === "agent") return <AgentName name={nameOf(value)} />;
  const words = (
    <span class="cut" title={name}>
      {name}
    </span>
  );
  if (field === "kind")
    return (
      <>
        <KindSign kind={value} /> {words}
      </>
    );
  const outcome = field === "outcome" && Object.hasOwn(OUTCOMES, value) ? OUTCOMES[value] : undefined;
  if (outcome)
    return (
      <>
        <OutcomeSign outcome={outcome} /> {words}
      </>
    );
  return words;
}
