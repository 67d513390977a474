// How the view is laid out.

import { html } from "../../html.js";
import { failed, empty, loading } from "../../parts/states.js";
import { link } from "../../router.js";
import { explainDialog } from "./explain.js";
import { chips, filterPanel } from "./filters.js";
import { groupDialog } from "./group.js";
import { histogram } from "./histogram.js";
import { pager } from "./pager.js";
import { withoutFilters } from "./query.js";
import { summary } from "./summary.js";
import { table } from "./table.js";
import { toolbar } from "./toolbar.js";

// On a phone the list comes first.
const IS_WIDE = matchMedia("(min-width: 60rem)").matches;

// `state`, `actions`: see view.js. `live`: { news, live }.
export function layout(parameters, state, live, actions) {
  return html`
    <h1 class="unseen">Groups</h1>
    ${toolbar(parameters, { ...live, ...state }, actions.change, actions)}
    ${chips(parameters, actions.change)}
    <div class="groups">
      <details class="side" ?open=${IS_WIDE}><summary>Filters</summary>
        ${filterPanel(parameters, facetsOf(state.summary), actions.change)}
      </details>
      <div class="list" aria-busy=${String(state.isReading)}>${state.error ? failed(state.error, html`<a href=${link("groups")}>Show all groups</a>`) : list(parameters, state, actions)}</div>
    </div>
    ${state.group ? groupDialog(state.group.id, state.group.found, actions.closeGroup) : ""}
    ${state.isExplaining ? explainDialog(state.explained, parameters, state.page, actions.closeExplained) : ""}`;
}

const facetsOf = (found) => (found instanceof Error ? found : found && found.facets);

function list(parameters, state, { change, select }) {
  const { page } = state;
  if (!page) return loading();
  return html`
    ${bars(state, parameters, select, change)}
    ${summary(page, state.summary?.sums)}
    ${page.groups.length ? table(parameters, page.groups, state.marks, change) : nothing(parameters, page)}
    ${pager(parameters, page.count, change)}`;
}

function bars({ histogram: found, selection }, parameters, select, change) {
  // Its place is kept while it is read: the table below does not jump.
  if (found === undefined) return html`<div class="panel histogram"></div>`;
  if (found instanceof Error) return html`<div class="panel histogram"><p class="quiet">No bars: ${found.message}</p></div>`;
  return found === null ? "" : histogram(found, parameters, selection, select, change);
}

function nothing(parameters, page) {
  if (page.count) return empty("This page is behind the end of the list.", "Choose an earlier page below.");
  if (String(withoutFilters(parameters)) === String(parameters)) {
    return empty("There are no order groups yet.", html`Publish some: <code>projector publish --sample 1000</code>`);
  }
  return empty("No groups match.", reset(parameters));
}

const reset = (parameters) => html`<a href=${link("groups", withoutFilters(parameters))}>Remove all filters</a>`;
