// Which part of the list is shown, and the way to other parts.

import { html } from "../../html.js";
import { count } from "../../parts/format.js";
import { changed, DEFAULT_LIMIT, limitOf, LIMITS, offsetOf } from "./query.js";

export function pager(parameters, total, change) {
  const limit = limitOf(parameters);
  const offset = offsetOf(parameters);
  const pages = Math.max(1, Math.ceil(total / limit));
  const page = Math.floor(offset / limit) + 1;
  const to = (number) => change(changed(parameters, { offset: number > 1 ? (number - 1) * limit : null }));
  const jump = (event) => {
    const number = Math.min(Math.max(1, Math.round(event.target.valueAsNumber) || page), pages);
    event.target.value = number;
    to(number);
  };
  const resize = (event) => {
    const size = Number(event.target.value);
    change(changed(parameters, { limit: size === DEFAULT_LIMIT ? null : size }));
  };
  return html`
    <nav class="row pager" aria-label="Pages">
      <button ?disabled=${page <= 1} @click=${() => to(page - 1)}>Previous</button>
      <label>Page <input type="number" min="1" max=${pages} .value=${String(page)} @change=${jump}></label>
      <span>of ${count(pages)}</span>
      <button ?disabled=${page >= pages} @click=${() => to(page + 1)}>Next</button>
      <label class="end">Rows
        <select .value=${String(limit)} @change=${resize}>
          ${sizes(limit).map((size) => html`<option value=${size}>${size}</option>`)}
        </select>
      </label>
    </nav>`;
}

const sizes = (limit) => [...new Set([...LIMITS, limit])].sort((one, other) => one - other);
