// What a view shows instead of its content: it is being loaded, it is empty, it failed.

import { html } from "../html.js";

export const loading = (what = "Loading") => html`<p class="state" role="status">${what}…</p>`;

// `advice`: what to do, a text or a piece.
export const empty = (what, advice = "") => html`
  <div class="state"><p><strong>${what}</strong></p><p>${advice}</p></div>`;

export const failed = (error, advice = "") => html`
  <div class="state failed" role="alert"><p><strong>${error.message}</strong></p><p>${advice}</p></div>`;
