import { Sign } from "../../parts/Sign.tsx";
import { Hatches } from "./Hatches.tsx";

/** What the signs and bars of waterfalls mean. */
export function Legend() {
  return (
    <div class="runs-legend">
      <span>
        <Sign name="turn" class="family-work" size={14} /> turn
      </span>
      <span>
        <Sign name="model" class="family-model" size={14} /> model call
      </span>
      <span>
        <Sign name="tool" class="family-tool" size={14} /> tool call
      </span>
      <span>
        <svg class="bars" width="28" height="14" aria-hidden="true">
          <Hatches id="legend" />
          <rect class="bar-turn" x="1" y="2.5" width="26" height="10" />
          <rect x="1" y="2.5" width="26" height="10" fill="url(#legend-work)" />
        </svg>
        open, still growing
      </span>
      <span>
        <svg class="bars" width="28" height="14" aria-hidden="true">
          <path class="bar-turn" d="M1 2.5H25L22 5L25 7.5L22 10L25 12.5H1Z" />
        </svg>
        abandoned
      </span>
      <span>
        <svg class="bars" width="28" height="14" aria-hidden="true">
          <rect class="bar-turn" x="1" y="2.5" width="24" height="10" />
          <rect class="bar-failed" x="24" y="1" width="3" height="13" />
        </svg>
        failed
      </span>
      <span>
        <svg class="bars" width="26" height="14" aria-hidden="true">
          <path class="bar-arrow" d="M2 1V9H20" />
          <path class="bar-arrow" d="M17 6L20.5 9L17 12" />
        </svg>
        hand-over
      </span>
      <span class="space" />
      <span class="quiet only-wide">Click a bar to see its events in Live</span>
    </div>
  );
}
