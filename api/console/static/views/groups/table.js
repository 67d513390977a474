// The table of groups: sorts by a click on a header; a row leads to its orders.

import { html, keyed } from "../../html.js";
import { exact, text, time } from "../../parts/format.js";
import { link } from "../../router.js";
import { changed, columnsOf, orderOf } from "./query.js";

// `marks`: group id -> "new", "moved" or "changed". `change(parameters)` goes to another state of the view.
export function table(parameters, groups, marks, change) {
  const columns = columnsOf(parameters);
  return html`
    <div class="scroll" role="region" aria-label="Groups" tabindex="0">
      <table>
        <thead><tr>${columns.map((column) => keyed(column.name, header(column, parameters, change)))}</tr></thead>
        <tbody>${groups.map((group) => keyed(group.id, row(group, columns, parameters, marks.get(group.id))))}</tbody>
      </table>
    </div>`;
}

function header({ name, title, kind, sorts }, parameters, change) {
  const { field, descending } = orderOf(parameters);
  const className = kind === "number" ? "number" : null;
  if (!sorts) return html`<th scope="col" class=${className}>${title}</th>`;
  const sorted = field === name && (descending ? "descending" : "ascending");
  // What one looks for is at the largest end: the newest, the dearest.
  const order = sorted === "descending" ? name : `-${name}`;
  return html`
    <th scope="col" class=${className} aria-sort=${sorted}>
      <button class="sort" @click=${() => change(changed(parameters, { order }))}>
        ${title}<span aria-hidden="true">${sorted ? (descending ? " ▼" : " ▲") : " ↕"}</span>
      </button>
    </th>`;
}

function row(group, columns, parameters, mark) {
  const target = link("groups", changed(parameters, { group: group.id }));
  return html`
    <tr class=${mark} @click=${(event) => followRow(event, target)}>
      ${columns.map((column, index) => keyed(column.name, html`
        <td class=${column.kind === "number" ? "number" : null}>
          ${index === 0 && mark ? html`<span class="mark">${mark}</span> ` : ""}
          ${index === 0 ? html`<a href=${target}>${cell(group, column) || "(none)"}</a>` : cell(group, column)}
        </td>`))}
    </tr>`;
}

// Whoever selects text, or uses a link, wants just that.
function followRow(event, target) {
  if (event.target.closest("a") || String(getSelection())) return;
  location.hash = target;
}

function cell(group, { name, kind }) {
  const value = group[name];
  if (value === null || value === undefined) return "";
  if (kind === "time") return time(value);
  if (kind === "number") return exact(value);
  if (kind === "list") return value.map((one, index) => html`${index ? ", " : ""}${text(one)}`);
  return text(value);
}
