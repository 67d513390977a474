// Count, sums per currency, and the time of the answer.

import { html, keyed } from "../../html.js";
import { count, exact } from "../../parts/format.js";

// `sums`: [{ currency_code, sum, count }], undefined while they are read, null where the server has none.
export function summary(page, sums) {
  return html`
    <div class="row summary">
      <strong role="status">${count(page.count)} ${page.count === 1 ? "group" : "groups"}</strong>
      ${sums?.map((sum) => keyed(String(sum.currency_code), html`
        <span title=${`${count(sum.count)} groups, ${exact(sum.min)} to ${exact(sum.max)}, on average ${exact(sum.avg)}`}>
          <span class="quiet">${sum.currency_code?.toUpperCase() ?? "mixed or none"}</span>
          <span class="number">${exact(sum.sum)}</span>
        </span>`)) ?? ""}
      <span class="quiet end">${page.ms.toFixed(0)} ms</span>
    </div>`;
}
