// What the view reads from the API. An older server lacks some of it: that is remembered, and not asked for again.

import { get, Problem } from "../../client.js";
import { FILTERS } from "./fields.js";
import { barsOf, filterParameters, listParameters } from "./query.js";

export const LIST = "admin/order-groups";
const lacks = new Set();

// Id of a seller -> name, from the groups that were opened: lists have ids alone.
export const sellerNames = new Map();

// Returns { groups, count, position, ms, text } of the page. Throws Problem.
export async function readPage(parameters, signal) {
  const { value, text, response, ms } = await get(LIST, { parameters: listParameters(parameters), signal });
  const position = response.headers.get("X-Projection-Position") ?? "";
  return { groups: value.order_groups, count: value.count, position, ms, text };
}

// Returns { facets, sums } of all groups that match; null if the server has neither. Apart from the page, whose rows
// do not wait for it.
export function readSummary(parameters, signal) {
  const asked = filterParameters(parameters);
  asked.set("limit", 0);
  asked.set("facets", FILTERS.filter(({ facet }) => facet).map(({ name }) => `${name}:all`).join(","));
  asked.set("sums", "total");
  return optional("facets", "facets", async () => {
    const { value } = await get(LIST, { parameters: asked, signal });
    return { facets: value.facets, sums: value.sums.total };
  });
}

// Returns { histogram: [{ from, count }], count, earlier, by }; null if the server has none.
export function readHistogram(parameters, signal) {
  const asked = filterParameters(parameters);
  const by = barsOf(parameters);
  asked.set("by", `created_at:${by}`);
  return optional("histogram", "by", async () => {
    const { value } = await get(`${LIST}/histogram`, { parameters: asked, signal });
    return { ...value, by };
  });
}

// Returns the plan, the steps and the time of the page's list; null if the server does not explain.
export function readExplained(parameters, signal) {
  const asked = listParameters(parameters);
  return optional("explain", "limit", async () => (await get(`${LIST}/explain`, { parameters: asked, signal })).value);
}

// Returns { group, text } with all orders and their relations, `text` as the server sent it. Throws Problem.
export async function readGroup(id, signal) {
  const fields = "*orders,*orders.seller,*orders.customer,display_id,cart_id,currency_code,seller_ids,statuses," +
    "sales_channel_ids,payment_statuses,fulfillment_statuses,order_count,id,customer_id,seller_count,total,created_at,updated_at";
  const parameters = new URLSearchParams({ fields });
  const { value, text } = await get(`${LIST}/${encodeURIComponent(id)}`, { parameters, signal });
  for (const { seller } of value.order_group.orders) if (seller?.name) sellerNames.set(seller.id, seller.name);
  return { group: value.order_group, text };
}

// `parameter`: that only a server with `name` knows.
async function optional(name, parameter, read) {
  if (lacks.has(name)) return null;
  try {
    return await read();
  } catch (error) {
    if (!isUnknown(error, parameter)) throw error;
    lacks.add(name);
    return null;
  }
}

// An older server takes a new parameter for a typo, and a new path for the id of a group, which has no parameters of a
// list. A typo in the address is none of these.
export function isUnknown(error, parameter) {
  if (!(error instanceof Problem)) return false;
  const unknown = /Unrecognized fields: '([^']*)'/.exec(error.message)?.[1].split(", ") ?? [];
  return unknown.includes(parameter) || /OrderGroup id not found: (histogram|explain|changes|export)$/.test(error.message);
}
