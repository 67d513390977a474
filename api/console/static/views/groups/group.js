// One group: its orders, and the JSON as the server sent it.

import { html, keyed } from "../../html.js";
import { indent } from "../../json.js";
import { dialog } from "../../parts/dialog.js";
import { exact, text, time, visible } from "../../parts/format.js";
import { failed, loading } from "../../parts/states.js";

const ORDER_COLUMNS = [
  ["Seller", (order) => html`${text(order.seller?.name ?? order.seller_id)}
    ${order.seller?.name ? html`<br><span class="quiet">${text(order.seller_id)}</span>` : ""}`],
  ["Status", (order) => text(order.status)],
  ["Payment", (order) => text(order.payment_status)],
  ["Fulfillment", (order) => text(order.fulfillment_status)],
  ["Total", (order) => html`${exact(order.total)} ${text(order.currency_code?.toUpperCase())}`, "number"],
  ["Number", (order) => text(order.custom_display_id ?? order.display_id)],
  ["Order", (order) => text(order.id)],
  ["Created", (order) => time(order.created_at)],
  ["Updated", (order) => time(order.updated_at)],
  ["Canceled", (order) => time(order.canceled_at)],
];

// `found`: { group, text } as it was read, an Error, or null while it is read.
export function groupDialog(id, found, close) {
  const title = html`Group ${text(id)}`;
  if (found === null) return dialog(title, loading(), close);
  if (found instanceof Error) return dialog(title, failed(found), close);
  const { group } = found;
  const customer = group.orders.find((order) => order.customer)?.customer;
  const name = [customer?.first_name, customer?.last_name].filter(Boolean).join(" ");
  return dialog(title, html`
    <dl class="facts">
      <dt>Total</dt><dd>${exact(group.total)} ${text(group.currency_code?.toUpperCase())}</dd>
      <dt>Customer</dt><dd>${text(group.customer_id) || "a guest"} ${name ? text(name) : ""}</dd>
      <dt>E-mail</dt><dd>${text(group.orders.find((order) => order.email)?.email) || "none"}</dd>
      <dt>Number</dt><dd>${text(group.display_id) || "none"}</dd>
      <dt>Cart</dt><dd>${text(group.cart_id) || "none"}</dd>
      <dt>Created</dt><dd>${time(group.created_at)}</dd>
      <dt>Updated</dt><dd>${time(group.updated_at)}</dd>
    </dl>
    <h3>${group.orders.length === 1 ? "1 order" : `${group.orders.length} orders`}</h3>
    <div class="scroll" role="region" aria-label="Orders" tabindex="0">
      <table>
        <thead><tr>${ORDER_COLUMNS.map(([column, , kind]) => html`<th scope="col" class=${kind}>${column}</th>`)}</tr></thead>
        <tbody>${group.orders.map((order) => keyed(order.id, html`
          <tr>${ORDER_COLUMNS.map(([, cell, kind]) => html`<td class=${kind}>${cell(order)}</td>`)}</tr>`))}</tbody>
      </table>
    </div>
    <details><summary>JSON</summary><pre tabindex="0">${visibleLines(indent(found.text))}</pre></details>`, close);
}

// JSON escapes most of what has no shape; what is left becomes a symbol, but for our own line breaks.
const visibleLines = (json) => json.split("\n").map(visible).join("\n");
