// The table of generations.

import { html, keyed } from "../../html.js";
import { bytes, count, time } from "../../parts/format.js";

// What a state means, for a reader who does not know the word.
const MEANINGS = {
  live: "lists are read from it", kept: "was live, and can be again", building: "being built, or was interrupted",
  verified: "built and compared", dropping: "being deleted",
};

// `buttons` returns a piece for a generation, or nothing.
export const generations = (found, buttons) => html`
  <div class="scroll" role="region" tabindex="0" aria-label="Generations">
    <table class="still">
      <thead><tr><th>Generation</th><th>State</th><th class="number">Version</th><th class="number">Shards</th>
        <th class="number">Groups</th><th class="number">Size</th><th class="number">Differences</th><th>Made</th>
        ${buttons ? html`<th><span class="unseen">Actions</span></th>` : ""}</tr></thead>
      <tbody>${found.map((one) => keyed(one.number, html`<tr>
        <th scope="row">${one.number}</th>
        <td><strong class=${one.state === "live" ? "good" : null}>${one.state}</strong>
          <span class="quiet">${MEANINGS[one.state]}</span></td>
        <td class="number">${one.version}</td><td class="number">${one.shards}</td>
        <td class="number">${count(one.groups)}</td>
        <td class="number">${one.bytes === null ? "not measured yet" : bytes(one.bytes)}</td>
        <td class="number">${count(one.differences)}</td><td>${time(one.made_at)}</td>
        ${buttons ? html`<td><div class="row">${buttons(one)}</div></td>` : ""}</tr>`))}</tbody>
    </table></div>`;
