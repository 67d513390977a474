// A dialog over the page: closes by Escape, by its button, or when its piece is gone.

import { html } from "../html.js";

// `close` is called when the reader closes it. `body` is a piece.
export const dialog = (title, body, close) => html`
  <dialog aria-labelledby="dialog-title" @close=${close} @click=${closeOutside}>
    <div class="row">
      <h2 id="dialog-title">${title}</h2>
      <button class="end" @click=${(event) => event.target.closest("dialog").close()}>Close</button>
    </div>
    ${body}
  </dialog>`;

function closeOutside(event) {
  if (event.target === event.currentTarget && event.detail && isOutside(event)) event.currentTarget.close();
}

function isOutside({ clientX, clientY, currentTarget }) {
  const { left, right, top, bottom } = currentTarget.getBoundingClientRect();
  return clientX < left || clientX > right || clientY < top || clientY > bottom;
}

// To be called after `render`: a dialog that was rendered is opened, which moves the focus into it.
export function openDialogs(element) {
  for (const one of element.querySelectorAll("dialog:not([open])")) one.showModal();
}
