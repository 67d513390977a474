// Groups over time as bars. One selects a range by dragging, or by the arrow keys, and filters by it.

import { html, keyed, svg } from "../../html.js";
import { count } from "../../parts/format.js";
import { barsOf, changed } from "./query.js";

const HEIGHT = 100;
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });
const NEXT = {
  day: (date) => date.setUTCDate(date.getUTCDate() + 1),
  week: (date) => date.setUTCDate(date.getUTCDate() + 7),
  month: (date) => date.setUTCMonth(date.getUTCMonth() + 1),
};

// Returns a piece for `found`, the server's answer, `by` a unit. `selection`: { from, to } as numbers of bars, or null; `select`
// changes it.
export function histogram(found, parameters, selection, select, change) {
  const bars = found.histogram;
  if (!bars.length) return "";
  const highest = Math.max(...bars.map((bar) => bar.count), 1);
  const apply = (range) => {
    select(null);
    change(changed(parameters, { "created_at[$gte]": bars[range.from].from, "created_at[$lt]": end(bars, range.to, found.by) }));
  };
  const shown = selection && ordered(selection);
  return html`
    <figure class="panel histogram">
      <figcaption class="row">
        <span>Created, in UTC</span>
        <span class="quiet" role="status">${shown ? described(bars, shown, found.by) : hint(found)}</span>
        <label class="end">Bars <select .value=${barsOf(parameters)} @change=${(event) => {
          select(null);
          change(changed(parameters, { by: event.target.value }), { replace: true });
        }}>${Object.keys(NEXT).map((unit) => html`<option value=${unit}>${unit}s</option>`)}</select></label>
      </figcaption>
      <svg viewBox=${`0 0 ${bars.length} ${HEIGHT}`} preserveAspectRatio="none" role="slider" tabindex="0"
        aria-label="Range of time. Arrow keys move, Shift and arrow keys extend, Enter filters"
        aria-valuemin="0" aria-valuemax=${bars.length - 1} aria-valuenow=${selection?.to ?? bars.length - 1}
        aria-valuetext=${described(bars, shown ?? { from: bars.length - 1, to: bars.length - 1 }, found.by)}
        @keydown=${(event) => key(event, bars, selection, select, apply)}
        @pointerdown=${(event) => drag(event, bars, select, apply)}>
        ${bars.map((bar, index) => keyed(bar.from, svg`
          <rect class=${shown && index >= shown.from && index <= shown.to ? "chosen" : null}
            x=${index + 0.08} width="0.84" y=${HEIGHT - height(bar, highest)} height=${height(bar, highest)}>
            <title>${described(bars, { from: index, to: index }, found.by)}</title></rect>`))}
      </svg>
      <div class="row quiet axis"><span>${DAY.format(new Date(bars[0].from))}</span>
        <span class="end">${DAY.format(new Date(bars.at(-1).from))}</span></div>
    </figure>`;
}

// Even a single group is seen.
const height = (bar, highest) => (bar.count ? Math.max(2, (bar.count / highest) * HEIGHT) : 0);
const ordered = ({ from, to }) => ({ from: Math.min(from, to), to: Math.max(from, to) });
const hint = ({ earlier }) => (earlier ? `${count(earlier)} groups are earlier` : "Drag to filter");

function end(bars, index, unit) {
  if (index + 1 < bars.length) return bars[index + 1].from;
  const date = new Date(bars[index].from);
  NEXT[unit](date);
  return date.toISOString();
}

function described(bars, { from, to }, unit) {
  const groups = bars.slice(from, to + 1).reduce((sum, bar) => sum + bar.count, 0);
  const last = new Date(Date.parse(end(bars, to, unit)) - 1);
  const first = new Date(bars[from].from);
  const days = DAY.format(first) === DAY.format(last) ? DAY.format(first) : DAY.formatRange(first, last);
  return `${days}: ${count(groups)} ${groups === 1 ? "group" : "groups"}`;
}

function key(event, bars, selection, select, apply) {
  const at = selection ?? { from: bars.length, to: bars.length };
  const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -bars.length, End: bars.length };
  if (event.key in steps) {
    const to = Math.min(Math.max(at.to + steps[event.key], 0), bars.length - 1);
    select({ from: event.shiftKey && selection ? selection.from : to, to });
  } else if (event.key === "Enter" && selection) {
    apply(ordered(selection));
  } else if (event.key === "Escape") {
    select(null);
  } else {
    return;
  }
  event.preventDefault();
}

function drag(event, bars, select, apply) {
  if (event.button !== 0) return;
  const chart = event.currentTarget;
  const barAt = ({ clientX }) => {
    const { left, width } = chart.getBoundingClientRect();
    return Math.min(Math.max(Math.floor(((clientX - left) / width) * bars.length), 0), bars.length - 1);
  };
  const from = barAt(event);
  const listening = new AbortController();
  const { signal } = listening;
  chart.setPointerCapture(event.pointerId);
  select({ from, to: from });
  chart.addEventListener("pointermove", (moved) => select({ from, to: barAt(moved) }), { signal });
  chart.addEventListener("pointercancel", () => { listening.abort(); select(null); }, { signal });
  chart.addEventListener("pointerup", (released) => {
    listening.abort();
    apply(ordered({ from, to: barAt(released) }));
  }, { signal });
}
