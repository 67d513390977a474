// The last minutes of each partition: how fast it is, when it will have caught up, and its sparklines.

import { html, svg } from "../../html.js";

// Seconds that are kept, and over which a rate is taken.
const KEPT_S = 300;
const RATE_S = 10;
const HEIGHT = 24;

export class History {
  #samples = new Map();

  add(pipeline) {
    const at = Number(pipeline.at_ms) / 1000;
    for (const { partition, position, lag } of pipeline.partitions) {
      const kept = (this.#samples.get(partition) ?? []).filter((one) => at - one.at <= KEPT_S && one.at < at);
      this.#samples.set(partition, [...kept, { at, position: Number(position), lag: Number(lag ?? 0) }]);
    }
  }

  // Events applied a second, and the seconds until the lag is gone: null if it does not shrink.
  of(partition) {
    const samples = this.#samples.get(partition) ?? [];
    const last = samples.at(-1);
    const first = samples.find((one) => last.at - one.at <= RATE_S);
    const seconds = last && first ? last.at - first.at : 0;
    if (!seconds) return { rate: null, left: last?.lag === 0 ? 0 : null };
    const shrinks = (first.lag - last.lag) / seconds;
    // After a rollback positions are lower than before.
    const rate = Math.max(0, (last.position - first.position) / seconds);
    return { rate, left: last.lag === 0 ? 0 : shrinks > 0 ? last.lag / shrinks : null };
  }

  lags(partition) {
    return (this.#samples.get(partition) ?? []).map(({ at, lag }) => [at, lag]);
  }

  rates(partition) {
    const samples = this.#samples.get(partition) ?? [];
    return samples.slice(1).map((one, index) => {
      const before = samples[index];
      return [one.at, Math.max(0, (one.position - before.position) / (one.at - before.at))];
    });
  }
}

// `values`: pairs of second and value. `label`: what it shows, for those who do not see it.
export function sparkline(values, label) {
  if (values.length < 2) return "";
  const until = values.at(-1)[0];
  const highest = Math.max(...values.map(([, value]) => value), 1e-9);
  const points = values.map(([at, value]) =>
    `${(100 - ((until - at) / KEPT_S) * 100).toFixed(2)},${(HEIGHT - 1 - (value / highest) * (HEIGHT - 2)).toFixed(2)}`);
  return html`<svg class="spark" viewBox=${`0 0 100 ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${label}>
    ${svg`<polyline points=${points.join(" ")} fill="none" stroke="currentColor" stroke-width="1.5" vector-effect="non-scaling-stroke"></polyline>`}
  </svg>`;
}
