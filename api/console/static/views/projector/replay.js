// Replays: generations, what can be done with each, and what was done.

import { html, keyed, render } from "../../html.js";
import { count, text, time } from "../../parts/format.js";
import { loading } from "../../parts/states.js";
import { ActionPanel, progressOf } from "./action.js";
import { closed, read, watch } from "./data.js";
import { generations } from "./generations.js";
import { useStyle } from "./style.js";

const READ_EVERY_MS = 1000;
const LOSSES = ["retention", "compaction", "recreated"];

export function open(element) {
  useStyle();
  const stopping = new AbortController();
  const { signal } = stopping;
  const state = { pipeline: null, actions: [], error: null, began: null };
  const panel = new ActionPanel(signal, draw, refresh);
  const broken = (error) => {
    if (signal.aborted) return;
    state.error = error;
    draw();
  };
  watch("pipeline", READ_EVERY_MS, signal, seePipeline, broken);
  watch("actions", READ_EVERY_MS, signal, seeActions, broken);

  function seePipeline(found) {
    state.pipeline = found;
    draw();
  }

  function seeActions({ actions }) {
    state.actions = actions;
    const progress = actions.find((one) => one.state === "running")?.progress;
    if (progress && state.began?.step !== progress.step) state.began = { ...progress, at: performance.now() };
    draw();
  }

  // An action has ended: what it changed is shown before the next look.
  function refresh() {
    read("pipeline", signal).then(seePipeline, broken);
    read("actions", signal).then(seeActions, broken);
  }

  function page() {
    if (state.error) return closed(state.error);
    if (!state.pipeline) return loading();
    return html`
      <h1>Replay</h1>
      <p class="quiet">A replay builds the read model anew from the log, beside the live one, and compares the two. Lists
        change only when you switch; the former generation is kept, so that you can go back.</p>
      ${panel.piece()}
      ${running()}
      <h2>Generations</h2>
      ${generations(state.pipeline.generations, buttons)}
      <h2>New replay</h2>
      ${form()}
      ${comparison()}
      ${done()}`;
  }

  // What somebody else runs, or we before this page was loaded; also a replay of the command line.
  function running() {
    if (panel.isBusy) return "";
    const action = state.actions.find((one) => one.state === "running" && one.id !== panel.answer?.id);
    const { replay } = state.pipeline;
    if (!action && (!replay || panel.phase === "ended")) return "";
    const who = action ? html`<strong>${action.action}</strong> of ${text(action.who)}` : text(replay.who);
    return html`<section class="panel action" aria-label="Running">
      <p>Running: ${who}</p>${progressOf(action ? action.progress : replay, state.began)}</section>`;
  }

  function buttons({ number, state: of }) {
    const button = (name, label, kind = null) => html`<button class=${kind} ?disabled=${panel.isBusy} @click=${() =>
      panel.plan(name, name === "rollback" || name === "drop" ? { number: Number(number) } : {}, `${label} generation ${number}`)}>${label}</button>`;
    const drop = button("drop", "Drop", "danger");
    if (of === "kept") return [button("rollback", "Roll back to"), drop];
    if (of === "building") return [button("replay", "Continue"), drop];
    if (of === "verified") return [switching(number), drop];
    return of === "dropping" ? [drop] : "";
  }

  // What differs is accepted by name.
  function switching(number) {
    const { differences } = state.pipeline.generations.find((one) => one.number === number);
    const label = Number(differences) ? `Switch in spite of ${count(differences)} differences to` : "Switch to";
    return html`<button class=${Number(differences) ? "danger" : "primary"} ?disabled=${panel.isBusy} @click=${() =>
      panel.plan("switch", { accept_differences: Boolean(Number(differences)) }, `${label} generation ${number}`)}>${label}</button>`;
  }

  const form = () => html`
    <form class="panel row" @submit=${plan}>
      <label>Shards <input name="shards" type="number" min="1" max="1024" placeholder="as now"></label>
      <label>Workers <input name="workers" type="number" min="1" max="64" value="1"></label>
      <label class="value"><input name="park" type="checkbox" checked> Park broken events</label>
      <label class="value"><input name="force" type="checkbox"> Even if memory may not suffice</label>
      <label>Accept a loss of <select name="loss"><option value="">nothing</option>
        ${LOSSES.map((loss) => html`<option value=${loss}>${loss}</option>`)}</select></label>
      <button class="primary" ?disabled=${panel.isBusy}>Plan a replay</button>
    </form>`;

  function plan(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    const values = { workers: Number(form.get("workers") || 1), park: form.has("park"), force: form.has("force") };
    if (form.get("shards")) values.shards = Number(form.get("shards"));
    if (form.get("loss")) values.accept_loss = [form.get("loss")];
    panel.plan("replay", values, "Replay");
  }

  function comparison() {
    const last = state.actions.find((one) => one.action === "replay" && one.state === "done" && !one.dry_run)?.result;
    if (!last) return "";
    return html`
      <h2>Last comparison</h2>
      <dl class="facts">
        <dt>Built</dt><dd>Generation ${last.number}, compared with ${last.expected_from === null ? "the log" : "the live one"}</dd>
        <dt>Groups</dt><dd>${count(last.groups)}</dd>
        <dt>Index entries</dt><dd>${count(last.entries)}</dd>
        <dt>Digests</dt><dd><code>${last.documents.join(" = ")}</code></dd>
        <dt>Differences</dt><dd class=${Number(last.differences) ? "bad" : "good"}>${count(last.differences)}</dd>
      </dl>
      ${last.first.length ? html`<ul>${last.first.map((one) => html`
        <li>${text(one.group)}: ${text(one.what)}, expected ${text(one.expected)}, found ${text(one.found)}</li>`)}</ul>` : ""}`;
  }

  function done() {
    const actions = state.actions.filter((one) => !one.dry_run);
    return actions.length === 0 ? "" : html`
    <h2>Actions</h2>
    <div class="scroll" role="region" tabindex="0" aria-label="Actions">
      <table class="still">
        <thead><tr><th>Requested</th><th>Who</th><th>Action</th><th>State</th><th>Result</th></tr></thead>
        <tbody>${actions.map((one) => keyed(one.id, html`<tr>
          <td>${time(one.requested_at)}</td><td>${text(one.who)}</td><td>${one.action}</td>
          <td><strong class=${one.state === "done" ? "good" : one.state === "failed" || one.state === "refused" ? "bad" : null}>${one.state}</strong></td>
          <td class="reason">${text(one.text)}</td></tr>`))}</tbody>
      </table></div>`;
  }

  function draw() {
    render(page(), element);
  }

  draw();
  return { show() {}, close: () => stopping.abort() };
}
