// Parked events: why, their bytes, and redriving or discarding them.

import { html, keyed, render } from "../../html.js";
import { count, text, time, visible } from "../../parts/format.js";
import { empty, loading } from "../../parts/states.js";
import { ActionPanel } from "./action.js";
import { closed, read, watch } from "./data.js";
import { useStyle } from "./style.js";

const PAGE = 20;
// The most that one request returns.
const READ_MAX = 100;
const LOOK_EVERY_MS = 2000;
// So many can be chosen for one action.
const CHOSEN_MAX = 100;

export function open(element) {
  useStyle();
  const stopping = new AbortController();
  const { signal } = stopping;
  const state = { events: null, total: 0, next: null, error: null, chosen: new Set() };
  const action = new ActionPanel(signal, draw, () => load());
  let readings = 0;
  let seen = null;

  // Reads at least as many events as are shown, or `least`. A page of large events ends early, and is enough then. Of
  // several readings the last one counts.
  async function load(least = state.events?.length ?? 0) {
    const own = ++readings;
    try {
      const events = [];
      let page = null;
      do {
        const limit = Math.min(Math.max(1, Math.ceil((least - events.length) / PAGE)) * PAGE, READ_MAX);
        page = await read("parked", signal, new URLSearchParams({ limit, ...(page ? { after: page.next } : {}) }));
        events.push(...page.parked);
      } while (page.next && events.length < least);
      if (own !== readings) return;
      Object.assign(state, { events, total: page.count, next: page.next, error: null });
      const there = new Set(events.map(({ position }) => position));
      state.chosen = new Set([...state.chosen].filter((position) => there.has(position)));
    } catch (error) {
      if (signal.aborted) return;
      state.error = error;
    }
    draw();
  }

  // The tally says whether events came or went, and is small: events may have a megabyte each.
  function look({ active, partitions }) {
    const tally = partitions.map((one) => [one.partition, one.parked, one.discarded, one.parked_bytes]);
    const found = JSON.stringify([active, tally]);
    if (found === seen) return;
    seen = found;
    load();
  }

  function broken(error) {
    state.error = error;
    draw();
  }

  function choose(position, isChosen) {
    if (isChosen) state.chosen.add(position);
    else state.chosen.delete(position);
    draw();
  }

  const start = (name, verb, values, what) => action.plan(name, values, `${verb} ${what}`);

  function page() {
    if (state.error) return closed(state.error);
    if (!state.events) return loading();
    return html`
      <h1>Parked events</h1>
      <p>${count(state.total)} ${state.total === 1 ? "event" : "events"} could not be applied</p>
      ${action.piece()}
      ${state.events.length ? list() : empty("Nothing is parked.", "Events that break the contract would wait here for you.")}`;
  }

  function list() {
    const chosen = { positions: [...state.chosen] };
    const some = state.chosen.size === 1 ? "1 event" : `${state.chosen.size} events`;
    const none = state.chosen.size === 0 || state.chosen.size > CHOSEN_MAX || action.isBusy;
    return html`
      <div class="row actions">
        <button ?disabled=${none} @click=${() => start("redrive", "Redrive", chosen, some)}>Redrive chosen</button>
        <button class="danger" ?disabled=${none} @click=${() => start("discard", "Discard", chosen, some)}>Discard chosen</button>
        <button ?disabled=${action.isBusy} @click=${() => start("redrive", "Redrive", { all: true }, "all events")}>Redrive all</button>
        <button class="danger" ?disabled=${action.isBusy} @click=${() => start("discard", "Discard", { all: true }, "all events")}>Discard all</button>
      </div>
      <div class="scroll" role="region" tabindex="0" aria-label="Parked events">
        <table class="still parked">
          <thead><tr><th><span class="unseen">Choose</span></th><th>Position</th><th>Reason</th>
            <th class="number">Attempts</th><th>First seen</th></tr></thead>
          <tbody>${state.events.map((one) => keyed(one.position, row(one)))}</tbody>
        </table></div>
      ${state.next ? html`<p><button @click=${() => load(state.events.length + 1)}>Show more</button></p>` : ""}`;
  }

  const row = (one) => html`
    <tr>
      <td><input type="checkbox" aria-label=${`Choose ${one.position}`} .checked=${state.chosen.has(one.position)}
        @change=${(event) => choose(one.position, event.target.checked)}></td>
      <td class="position">${text(one.position)}</td>
      <td class="reason"><details><summary>${visible(one.reason)}</summary>${contents(one)}</details></td>
      <td class="number">${one.attempts}</td>
      <td>${time(one.parked_at ?? one.time)}</td>
    </tr>`;

  function draw() {
    render(page(), element);
  }

  draw();
  watch("pipeline", LOOK_EVERY_MS, signal, look, broken);
  return { show() {}, close: () => stopping.abort() };
}

function contents(one) {
  if (!one.with_payload) return html`<p>Its contents are in the log alone: <code>PERSONAL_DATA</code> is off.</p>`;
  return html`
    <h3>Value${one.text === null && one.value !== null ? ", in base64: it is no UTF-8" : ""}</h3>
    ${one.value === null ? html`<p class="quiet">none</p>` : html`<pre>${shown(one.text ?? one.value)}</pre>`}
    <h3>Headers</h3>
    ${one.headers.length ? html`<dl class="facts">${one.headers.map(([name, value]) => html`
      <dt>${visible(name)}</dt><dd><code>${visible(decoded(value))}</code></dd>`)}</dl>` : html`<p class="quiet">none</p>`}
    <h3>Key</h3>
    ${one.key === null ? html`<p class="quiet">none</p>` : html`<p><code>${visible(decoded(one.key))}</code></p>`}`;
}

// Line breaks stay.
const shown = (value) => value.split("\n").map(visible).join("\n");

// The text of bytes in base64, or that, if they are no UTF-8.
function decoded(base64) {
  try {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return `${base64} (base64)`;
  }
}
