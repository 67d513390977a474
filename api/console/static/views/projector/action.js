// An action on the page: first what it will do, then a button that does it, then how far it is and what came of it.

import { html } from "../../html.js";
import { count } from "../../parts/format.js";
import { duration, follow } from "./data.js";

// What cannot be undone is confirmed by typing its name.
const TYPED = ["discard", "drop"];

export class ActionPanel {
  // `changed` is called when there is something new to draw, `ended` when an action has done something.
  constructor(signal, changed, ended) {
    Object.assign(this, { signal, changed, ended, phase: null });
  }

  // Asks a projector what the action would do.
  async plan(name, values, title) {
    const request = { action: name, arguments: values };
    Object.assign(this, { phase: "planning", name, title, request, typed: "", answer: null, began: null });
    this.changed();
    await this.#follow({ ...request, dry_run: true }, (answer) => {
      this.phase = answer.state === "done" ? "planned" : "ended";
      this.answer = answer;
    });
  }

  async #act() {
    this.phase = "running";
    this.changed();
    const { expected } = this.answer.result;
    await this.#follow({ ...this.request, expected }, (answer) => Object.assign(this, { phase: "ended", answer }));
    this.ended();
  }

  async #follow(request, end) {
    const { title } = this;
    const isOurs = () => this.title === title && !this.signal.aborted;
    try {
      end(await follow(request, this.signal, (seen) => {
        if (isOurs()) this.#see(seen);
      }));
    } catch (error) {
      if (this.signal.aborted) return;
      Object.assign(this, { phase: "ended", answer: { state: "failed", text: error.message } });
    }
    if (isOurs()) this.changed();
  }

  #see(answer) {
    this.answer = this.phase === "running" ? { ...answer, result: this.answer.result } : answer;
    const progress = answer.progress;
    if (progress && this.began?.step !== progress.step) this.began = { ...progress, at: performance.now() };
    this.changed();
  }

  close() {
    this.phase = null;
    this.changed();
  }

  get isBusy() {
    return this.phase === "planning" || this.phase === "running";
  }

  piece() {
    if (!this.phase) return "";
    return html`
      <section class="panel action" aria-label=${this.title}>
        <h2>${this.title}</h2>
        <div role="status">${this.#status()}</div>
        ${this.phase === "planned" ? this.#confirmation() : ""}
        ${this.phase === "ended" ? html`<button @click=${() => this.close()}>Close</button>` : ""}
      </section>`;
  }

  #status() {
    const { phase, answer } = this;
    if (answer?.state === "waiting") return html`<p>It waits: ${answer.text}. After a minute nobody executes it.</p>`;
    if (phase === "planning") return html`<p>A projector looks what that would do…</p>`;
    if (phase === "planned") return html`<p>It ${answer.text}.</p>`;
    if (phase === "ended") {
      return html`<p class=${answer.state === "done" ? "good" : "bad"}><strong>${answer.state}</strong>: ${answer.text}</p>`;
    }
    return progressOf(answer?.progress, this.began);
  }

  #confirmation() {
    const isTyped = TYPED.includes(this.name);
    const act = (event) => {
      event.preventDefault();
      if (!isTyped || this.typed === this.name) this.#act();
    };
    return html`
      <form class="row" @submit=${act}>
        ${isTyped ? html`<label>It cannot be undone here. Type <strong>${this.name}</strong>
          <input name="typed" autocomplete="off" spellcheck="false" .value=${this.typed}
            @input=${(event) => { this.typed = event.target.value; this.changed(); }}></label>` : ""}
        <button class=${isTyped ? "danger" : "primary"} ?disabled=${isTyped && this.typed !== this.name}>Do it</button>
        <button type="button" @click=${() => this.close()}>Cancel</button>
      </form>`;
  }
}

// How far a step is, and how long it still takes, as it went since `began`.
export function progressOf(progress, began) {
  if (!progress || !Number(progress.total)) return html`<p>A projector begins…</p>`;
  const { step, done, total } = progress;
  const gone = began?.step === step ? done - began.done : 0;
  const left = gone > 0 ? ((total - done) * (performance.now() - began.at)) / gone / 1000 : null;
  return html`
    <p>${step}: ${count(done)} of ${count(total)}${left !== null && total > done ? `, ${duration(left)} left` : ""}</p>
    <progress aria-label=${step} max=${Math.max(total, 1)} value=${Math.min(done, total)}></progress>`;
}
