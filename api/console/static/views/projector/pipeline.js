// The pipeline: how far each partition is, what became of its events, and what the read model holds.

import { html, keyed, render } from "../../html.js";
import { bytes, count, text, time } from "../../parts/format.js";
import { empty, loading } from "../../parts/states.js";
import { closed, duration, watch } from "./data.js";
import { generations } from "./generations.js";
import { History, sparkline } from "./history.js";
import { useStyle } from "./style.js";

const READ_EVERY_MS = 1000;
const FATES = ["applied", "stale", "passed_over", "parked", "discarded"];
// An end of the log that is older, in seconds, says that no projector runs.
const END_AGE_MAX_S = 10;
// A relay stores its state once a second.
const SOURCE_AGE_MAX_S = 15;

export function open(element) {
  useStyle();
  const stopping = new AbortController();
  const history = new History();
  render(loading(), element);
  watch("pipeline", READ_EVERY_MS, stopping.signal, (found) => {
    history.add(found);
    render(page(found, history), element);
  }, (error) => render(closed(error), element));
  return { show() {}, close: () => stopping.abort() };
}

function page(found, history) {
  return html`
    <h1>Pipeline</h1>
    ${notes(found)}
    ${found.source ? source(found.source) : ""}
    <h2>Partitions of the log</h2>
    ${found.partitions.length ? partitions(found.partitions, history) : empty("Nothing was applied yet.",
      "A projector creates the read model: projector run, or projector up.")}
    <h2>What became of the events</h2>
    ${found.partitions.length ? tally(found.partitions, found.passed_over_types) : ""}
    <h2>Read model</h2>
    ${generations(found.generations)}
    ${found.sizes_at ? html`<p class="quiet">Sizes are estimates of ${time(found.sizes_at)}.</p>` : ""}`;
}

// What an operator should know before the figures.
function notes({ active, end_age_s: age, untold, partitions: found, replay, source: relay }) {
  const told = [];
  if (active && (age === null || age > END_AGE_MAX_S)) {
    told.push(`No projector has read the end of the log for ${age === null ? "long" : duration(age)}: is one running?`);
  }
  for (const one of found) {
    if (one.diverged) told.push(`${one.partition} is not applied any more: ${one.diverged}`);
    if (one.paused_at !== null) {
      told.push(`${one.partition} waits at ${one.paused_at}: too many of its events are parked (${one.paused_by}).`);
    }
  }
  if (relay && relay.age_s > SOURCE_AGE_MAX_S) {
    told.push(`No relay has told for ${duration(relay.age_s)} what waits in the shop's database: is one running?`);
  }
  for (const problem of relay?.problems ?? []) told.push(`The shop's database: ${problem}`);
  if (untold) told.push(`${count(untold)} parked events are not in the dead-letter topic yet.`);
  return html`
    ${told.map((note) => html`<p class="warn"><strong>${note}</strong></p>`)}
    ${replay ? html`<p><a href="#/replay">A replay is running</a>: ${replay.step}, ${count(replay.done)} of ${count(replay.total)}</p>` : ""}`;
}

// What the relay has still to publish. Bulk work, such as a backfill, is not late.
const source = ({ mapping, notes: waiting, bulk_notes: bulk, oldest_s: oldest, age_s: age }) => html`
  <h2>Shop's database</h2>
  <dl class="facts source">
    <dt>Mapping</dt><dd>${text(mapping)}</dd>
    <dt>Notes waiting</dt><dd>${count(waiting)}${Number(bulk) ? `, and ${count(bulk)} of bulk work` : ""}</dd>
    <dt>Oldest</dt><dd>${Number(waiting) ? duration(oldest) : "none"}</dd>
    ${age > SOURCE_AGE_MAX_S ? html`<dt>As of</dt><dd>${duration(age)} ago</dd>` : ""}
  </dl>`;

const partitions = (found, history) => html`
  <div class="scroll" role="region" tabindex="0" aria-label="Partitions of the log">
    <table class="still">
      <thead><tr><th>Partition</th><th class="number">Position</th><th class="number">End</th><th class="number">Lag</th>
        <th>Lag, 5 min</th><th class="number">Events/s</th><th>Events/s, 5 min</th><th class="number">Caught up</th></tr></thead>
      <tbody>${found.map((one) => {
        const { rate, left } = history.of(one.partition);
        return keyed(one.partition, html`<tr>
          <th scope="row">${text(one.partition)}</th>
          <td class="number">${count(one.position)}</td>
          <td class="number">${one.end === null ? "unknown" : count(one.end)}</td>
          <td class="number">${one.lag === null ? "unknown" : count(one.lag)}</td>
          <td>${sparkline(history.lags(one.partition), `Lag of ${one.partition} in the last minutes`)}</td>
          <td class="number">${rate === null ? "…" : count(Math.round(rate))}</td>
          <td>${sparkline(history.rates(one.partition), `Events per second of ${one.partition} in the last minutes`)}</td>
          <td class="number">${left === 0 ? "now" : left === null ? (rate === null ? "…" : "not at this rate") : `in ${duration(left)}`}</td>
        </tr>`);
      })}</tbody>
    </table></div>`;

// Each row is an equation, and so is their sum.
function tally(found, types) {
  const sum = (name) => found.reduce((total, one) => total + Number(one[name]), 0);
  const names = ["received", ...FATES, "parked_bytes"];
  const total = { partition: "all", ...Object.fromEntries(names.map((name) => [name, sum(name)])) };
  return html`
    <div class="scroll" role="region" tabindex="0" aria-label="What became of the events">
      <table class="still">
        <thead><tr><th>Partition</th><th class="number">Received</th><th class="number">= applied</th>
          <th class="number">+ stale</th><th class="number">+ passed over</th><th class="number">+ parked</th>
          <th class="number">+ discarded</th><th class="number">Parked bytes</th></tr></thead>
        <tbody>${[...found, ...(found.length > 1 ? [total] : [])].map((one) => keyed(one.partition, equation(one)))}</tbody>
      </table></div>
    <p class="quiet">Stale: a newer event of that order was there. Passed over: another type of event${types.length ? html`,
      <span class="types">${text(types.join(", "))}</span>` : ""}.
      <a href="#/parked">Parked</a>: it could not be applied.</p>`;
}

function equation(one) {
  const adds = FATES.reduce((sum, name) => sum + Number(one[name]), 0) === Number(one.received);
  return html`<tr>
    <th scope="row">${text(one.partition)}</th>
    <td class="number">${count(one.received)} ${adds ? "" : html`<strong class="bad">does not add up</strong>`}</td>
    ${FATES.map((name) => html`<td class="number">${count(one[name])}</td>`)}
    <td class="number">${bytes(Number(one.parked_bytes))}</td></tr>`;
}
