// What the list is filtered by: chips that remove a filter, facets with counts, and a form for every parameter.

import { html, keyed } from "../../html.js";
import { count, text, time } from "../../parts/format.js";
import { sellerNames } from "./data.js";
import { FILTERS, OPERATORS, TIME_OPERATORS } from "./fields.js";
import { changed, filterOf, filtersOf, withoutFilters, withoutValue, withValue } from "./query.js";

// Values of a facet that are shown before "more".
const FEW = 6;

export function chips(parameters, change) {
  const filters = filtersOf(parameters);
  const q = parameters.get("q");
  if (!filters.length && !q) return "";
  return html`
    <ul class="chips row" aria-label="Filters">
      ${q ? chip("Search", text(q), () => change(changed(parameters, { q: null }))) : ""}
      ${filters.map(({ parameter, field, operator, value }) => keyed(`${parameter}=${value}`, chip(
        filterOf(field)?.title ?? parameter,
        html`${operator ? `${operatorsOf(field)[operator] ?? operator} ` : ""}${shown(field, value)}`,
        () => change(withoutValue(parameters, parameter, value)))))}
      <li><button class="plain" @click=${() => change(withoutFilters(parameters))}>Remove all</button></li>
    </ul>`;
}

const chip = (title, value, remove) => html`
  <li><button class="chip" @click=${remove}><span class="unseen">Remove filter </span>${title}: ${value}
    <span aria-hidden="true">✕</span></button></li>`;

const operatorsOf = (field) => (filterOf(field)?.kind === "time" ? TIME_OPERATORS : OPERATORS);

function shown(field, value) {
  const isTime = filterOf(field)?.kind === "time" && !Number.isNaN(Date.parse(value));
  return isTime ? time(new Date(value).toISOString()) : text(value === "" ? "(empty)" : value);
}

// `found`: field -> [{ value, count }], undefined while they are read, null where the server has none, an Error if it
// refused.
export function filterPanel(parameters, found, change) {
  const facets = found instanceof Error ? undefined : found;
  return html`
    <section class="panel filters" aria-label="Filter">
      ${found instanceof Error ? html`<p class="quiet">Values are not counted: ${found.message}</p>` : ""}
      ${facets === null ? html`<p class="quiet">This server counts no values.</p>` : ""}
      ${facets ? FILTERS.filter(({ name }) => facets[name]?.length || parameters.has(name)).map((filter) =>
        keyed(filter.name, facet(filter, facets[filter.name] ?? [], parameters, change))) : ""}
      ${facets ? html`<p class="quiet">A group matches a filter if any of its orders does.</p>` : ""}
      ${anyFilter(parameters, change)}
    </section>`;
}

function facet({ name, title }, values, parameters, change) {
  const chosen = parameters.getAll(name);
  const counted = new Set(values.map(({ value }) => value));
  // A chosen value without groups is shown, so that one can remove it.
  const all = [...values, ...chosen.filter((value) => !counted.has(value)).map((value) => ({ value, count: 0 }))];
  const box = ({ value, count: groups }) => keyed(value, html`
    <label class="value">
      <input type="checkbox" .checked=${chosen.includes(value)} @change=${(event) => change(
        event.target.checked ? withValue(parameters, name, value) : withoutValue(parameters, name, value))}>
      <span>${text(value)}${name === "seller_id" && sellerNames.has(value) ? html`
        <small class="quiet">${text(sellerNames.get(value))}</small>` : ""}</span><span class="number quiet">${count(groups)}</span>
    </label>`);
  return html`
    <fieldset>
      <legend>${title}</legend>
      ${all.slice(0, FEW).map(box)}
      ${all.length > FEW ? html`<details><summary>${all.length - FEW} more</summary>${all.slice(FEW).map(box)}</details>` : ""}
    </fieldset>`;
}

function anyFilter(parameters, change) {
  return html`
    <form class="any-filter" @submit=${(event) => add(event, parameters, change)} @change=${adapt}>
      <h2>Add a filter</h2>
      <label>Field
        <select name="field">${FILTERS.map(({ name, title }) => html`<option value=${name}>${title}</option>`)}</select>
      </label>
      <label>Condition
        <select name="operator">
          <option value="">is</option>
          ${Object.entries(OPERATORS).filter(([name]) => !["$eq", "$in", "$nin"].includes(name)).map(([name, title]) => html`
            <option value=${name} hidden disabled>${title}</option>`)}
        </select>
      </label>
      <label>Value <input name="value" required autocomplete="off" spellcheck="false"></label>
      <button>Add filter</button>
    </form>`;
}

// Shows the conditions and the input that fit the chosen field: ranges have operators, other fields have values.
function adapt(event) {
  if (event.target.name !== "field") return;
  const { operator, value } = event.currentTarget.elements;
  const { kind } = filterOf(event.target.value);
  for (const option of operator.options) {
    option.hidden = option.disabled = kind === "value" && option.value !== "";
    if (option.value) option.text = (kind === "time" ? TIME_OPERATORS : OPERATORS)[option.value];
  }
  operator.value = kind === "value" ? "" : "$gte";
  value.type = { time: "datetime-local", number: "number", value: "text" }[kind];
  value.step = kind === "value" ? "" : "any";
}

function add(event, parameters, change) {
  event.preventDefault();
  const { field, operator, value } = Object.fromEntries(new FormData(event.target));
  const isTime = filterOf(field).kind === "time";
  const written = isTime ? new Date(value).toISOString() : value;
  event.target.elements.value.value = "";
  if (operator) change(changed(parameters, { [`${field}[${operator}]`]: written }));
  else change(withValue(parameters, field, written));
}
