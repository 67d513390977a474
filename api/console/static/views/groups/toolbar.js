// Above the list: search, columns, live updates, export, explanation.

import { html } from "../../html.js";
import { place } from "../../router.js";
import { COLUMNS } from "./fields.js";
import { changed, columnsOf } from "./query.js";

const DEBOUNCE_MS = 250;
let typing;

// `news`: what changed since the page was read, null if nothing. `live`: whether changes arrive. `actions`: see view.js.
export function toolbar(parameters, { news, live, isFollowing, isExporting, progress }, change, actions) {
  return html`
    <div class="row toolbar">
      <label class="search"><span class="unseen">Search</span>
        <input type="search" name="q" placeholder="Id, customer, e-mail, seller, number" autocomplete="off"
          spellcheck="false" .value=${searched(parameters)} @input=${(event) => search(event, change)}>
      </label>
      <span class="row live" role="status">
        ${news ? html`<button class="primary news" @click=${actions.refresh}>${news}</button>` : ""}
        <span class="quiet">${live}</span>
      </span>
      <label class="row"><input type="checkbox" .checked=${isFollowing} @change=${actions.follow}> Follow</label>
      <span class="row end">
        <button @click=${actions.explain}>Explain</button>
        <details class="menu" @keydown=${closeByEscape}>
          <summary class="button">Columns</summary>
          <div class="panel">${COLUMNS.map(({ name, title }) => columnBox(name, title, parameters, change))}</div>
        </details>
        <details class="menu" @keydown=${closeByEscape}>
          <summary class="button">Export</summary>
          <div class="panel">
            <p class="quiet">All groups that match, in order of arrival, with the columns of the table.</p>
            ${[["csv", "groups", "CSV"], ["csv", "orders", "CSV, a row per order"], ["ndjson", "groups", "JSON lines"]].map(
              ([format, rows, title]) => html`<button ?disabled=${isExporting}
                @click=${() => actions.exportAs(format, rows)}>${title}</button>`)}
            <p role="status">${progress}</p>
          </div>
        </details>
      </span>
    </div>`;
}

function closeByEscape(event) {
  if (event.key !== "Escape") return;
  event.currentTarget.open = false;
  event.currentTarget.querySelector("summary").focus();
}

// While one types, the box keeps what is typed: the address follows later.
function searched(parameters) {
  const box = document.activeElement?.name === "q" ? document.activeElement : null;
  return typing && box ? box.value : parameters.get("q") ?? "";
}

function search(event, change) {
  clearTimeout(typing);
  const box = event.target;
  typing = setTimeout(() => {
    typing = undefined;
    // Meanwhile one may have added a filter, or left the view.
    if (box.isConnected) change(changed(place().parameters, { q: box.value }), { replace: true });
  }, DEBOUNCE_MS);
}

function columnBox(name, title, parameters, change) {
  const shown = columnsOf(parameters).map((column) => column.name);
  const toggle = (event) => {
    const wanted = event.target.checked ? [...shown, name] : shown.filter((one) => one !== name);
    const columns = COLUMNS.map((column) => column.name).filter((one) => wanted.includes(one)).join(",");
    change(changed(parameters, { columns: columns || "id" }), { replace: true });
  };
  return html`<label class="value"><input type="checkbox" .checked=${shown.includes(name)} @change=${toggle}> ${title}</label>`;
}
