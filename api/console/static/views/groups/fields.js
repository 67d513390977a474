// The fields of a group: columns of the table, and what lists are filtered by. As docs/openapi.json has them.

export const COLUMNS = [
  { name: "display_id", title: "Number", kind: "number", sorts: true },
  { name: "id", title: "Group", kind: "text" },
  { name: "customer_id", title: "Customer", kind: "text" },
  { name: "total", title: "Total", kind: "number", sorts: true },
  { name: "currency_code", title: "Currency", kind: "text" },
  { name: "statuses", title: "Status", kind: "list" },
  { name: "payment_statuses", title: "Payment", kind: "list" },
  { name: "fulfillment_statuses", title: "Fulfillment", kind: "list" },
  { name: "seller_count", title: "Sellers", kind: "number", sorts: true },
  { name: "order_count", title: "Orders", kind: "number" },
  { name: "seller_ids", title: "Seller ids", kind: "list" },
  { name: "sales_channel_ids", title: "Sales channels", kind: "list" },
  { name: "cart_id", title: "Cart", kind: "text" },
  { name: "created_at", title: "Created", kind: "time", sorts: true },
  { name: "updated_at", title: "Updated", kind: "time", sorts: true },
];

export const DEFAULT_COLUMNS = [
  "display_id", "id", "customer_id", "total", "currency_code", "statuses", "payment_statuses", "seller_count", "created_at",
];

// `facet`: the server counts the values of this field.
export const FILTERS = [
  { name: "status", title: "Status", kind: "value", facet: true },
  { name: "payment_status", title: "Payment", kind: "value", facet: true },
  { name: "fulfillment_status", title: "Fulfillment", kind: "value", facet: true },
  { name: "currency_code", title: "Currency", kind: "value", facet: true },
  { name: "sales_channel_id", title: "Sales channel", kind: "value", facet: true },
  { name: "seller_id", title: "Seller", kind: "value", facet: true },
  { name: "customer_id", title: "Customer", kind: "value" },
  { name: "id", title: "Group", kind: "value" },
  { name: "created_at", title: "Created", kind: "time" },
  { name: "updated_at", title: "Updated", kind: "time" },
  { name: "total", title: "Total", kind: "number" },
  { name: "seller_count", title: "Sellers", kind: "number" },
  { name: "display_id", title: "Number", kind: "number" },
];

export const OPERATORS = {
  $gte: "at least", $lte: "at most", $gt: "above", $lt: "below", $eq: "is", $ne: "is not", $in: "is", $nin: "is not",
};
export const TIME_OPERATORS = { ...OPERATORS, $gte: "from", $lte: "until", $gt: "after", $lt: "before" };
