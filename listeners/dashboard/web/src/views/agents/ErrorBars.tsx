// Errors of the last 15 minutes, a bar a minute; readers hear them.

import { many } from "../../base/format.ts";

const WIDTH = 4;
const HEIGHT = 14;

export function ErrorBars({ minutes, isWrong }: { minutes: readonly number[]; isWrong: boolean }) {
  const most = Math.max(...minutes, 0);
  if (most === 0) return null;
  const told = minutes
    .map((count, index) => (count ? `${many(count, "error")} ${minutes.length - 1 - index} min ago` : ""))
    .filter(Boolean)
    .join(", ");
  const label = told.replaceAll(" 0 min ago", " in this minute");
  return (
    <svg
      class={isWrong ? "error-bars error-bars-wrong" : "error-bars"}
      width={minutes.length * WIDTH}
      height={HEIGHT}
      role="img"
      aria-label={label}
    >
      <title>{label}</title>
      <path class="error-bars-ground" d={`M0 ${HEIGHT - 0.5}H${minutes.length * WIDTH}`} />
      {minutes.map((count, index) => {
        if (!count) return null;
        const height = Math.max(3, Math.round((count / Math.max(most, 4)) * HEIGHT));
        return <rect key={index} x={index * WIDTH} y={HEIGHT - height} width={WIDTH - 1} height={height} />;
      })}
    </svg>
  );
}
