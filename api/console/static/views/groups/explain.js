// How the list was answered: the plan, and what each step left.

import { address } from "../../client.js";
import { html } from "../../html.js";
import { dialog } from "../../parts/dialog.js";
import { count } from "../../parts/format.js";
import { failed, loading } from "../../parts/states.js";
import { LIST } from "./data.js";
import { listParameters } from "./query.js";

// `found`: what the server explains, an Error, or undefined while it is read; null where it does not explain.
export function explainDialog(found, parameters, page, close) {
  const url = address(LIST, listParameters(parameters)).replaceAll("%2C", ",");
  return dialog("How this list was answered", html`
    ${steps(found)}
    <dl class="facts">
      <dt>Here</dt><dd>${page ? `${page.ms.toFixed(1)} ms, with the network and this browser` : ""}</dd>
      <dt>Reflects</dt><dd>${page?.position || "nothing"}</dd>
      <dt>Request</dt><dd><code>${url}</code></dd>
    </dl>`, close);
}

function steps(found) {
  if (found === undefined) return loading();
  if (found === null) return html`<p>This server does not explain its lists; <code>projector explain</code> does.</p>`;
  if (found instanceof Error) return failed(found);
  return html`
    <p>Plan: <strong>${found.plan}</strong>. ${count(found.count)} groups match. ${found.ms} ms in the API, with all calls
      to Redis.</p>
    <div class="scroll" role="region" aria-label="Steps" tabindex="0">
      <table>
        <thead><tr>
          <th scope="col" class="number">Call</th><th scope="col" class="number">Shard</th><th scope="col">Step</th>
          <th scope="col">Key</th><th scope="col" class="number">Groups</th><th scope="col">Meaning</th>
        </tr></thead>
        <tbody>${found.steps.map((step) => html`
          <tr>
            <td class="number">${step.call}</td><td class="number">${step.shard}</td><td>${step.what}</td>
            <td><code>${step.key}</code></td><td class="number">${count(step.groups)}</td><td>${step.meaning}</td>
          </tr>`)}</tbody>
      </table>
    </div>`;
}
