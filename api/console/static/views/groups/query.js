// The state of the view: the parameters of the API as they are, and a few of our own.

import { COLUMNS, DEFAULT_COLUMNS, FILTERS } from "./fields.js";

export const DEFAULT_ORDER = "-created_at";
export const DEFAULT_LIMIT = 50;
export const LIMITS = [10, 20, 50, 100, 200, 500, 1000];

// `columns`: of the table; `group`: the group whose orders are shown; `by`: the bars of the histogram.
const OWN = ["columns", "group", "by"];
const PAGE = ["limit", "offset", "order", "q"];

export const columnsOf = (parameters) => {
  const wanted = parameters.get("columns")?.split(",") ?? DEFAULT_COLUMNS;
  const found = COLUMNS.filter(({ name }) => wanted.includes(name));
  return found.length ? found : COLUMNS.filter(({ name }) => name === "id");
};

export const orderOf = (parameters) => {
  const order = parameters.get("order") || DEFAULT_ORDER;
  return { field: order.replace(/^-/, ""), descending: order.startsWith("-") };
};

// As the server reads them; nonsense in a link is left to the server to refuse.
export const limitOf = (parameters) => Number.parseInt(parameters.get("limit") ?? DEFAULT_LIMIT, 10);
export const offsetOf = (parameters) => Number.parseInt(parameters.get("offset") ?? 0, 10);
export const barsOf = (parameters) => parameters.get("by") ?? "day";

// Returns the filters as [{ parameter, field, operator, value }]; `operator` is "" for a list of values.
export function filtersOf(parameters) {
  return [...parameters].filter(([name]) => ![...OWN, ...PAGE].includes(name)).map(([parameter, value]) => {
    const [, field, operator = ""] = /^(.*?)(?:\[(\$\w+)\](?:\[\d*\])?)?$/s.exec(parameter);
    return { parameter, field, operator, value };
  });
}

export const filterOf = (field) => FILTERS.find(({ name }) => name === field);

// The parameters of a list request without those of the page: filters and search.
export function filterParameters(parameters) {
  const found = new URLSearchParams(filtersOf(parameters).map(({ parameter, value }) => [parameter, value]));
  if (parameters.get("q")) found.set("q", parameters.get("q"));
  return found;
}

export function listParameters(parameters) {
  const found = filterParameters(parameters);
  found.set("limit", parameters.get("limit") ?? DEFAULT_LIMIT);
  found.set("offset", parameters.get("offset") ?? 0);
  found.set("order", parameters.get("order") || DEFAULT_ORDER);
  found.set("fields", [...new Set(["id", ...columnsOf(parameters).map(({ name }) => name)])].join(","));
  return found;
}

// Returns a copy with the given parameters set, or removed if null; a filter's change leads to the first page.
export function changed(parameters, values) {
  const found = new URLSearchParams(parameters);
  for (const [name, value] of Object.entries(values)) {
    found.delete(name);
    if (value !== null && value !== "") found.set(name, value);
  }
  if (!Object.keys(values).every((name) => [...OWN, "offset"].includes(name))) found.delete("offset");
  return found;
}

export function withValue(parameters, name, value) {
  const found = new URLSearchParams(parameters);
  if (!found.has(name, value)) found.append(name, value);
  found.delete("offset");
  return found;
}

export function withoutValue(parameters, name, value) {
  const kept = [...parameters].filter((one) => one[0] !== name || one[1] !== value);
  const found = new URLSearchParams(kept);
  found.delete("offset");
  return found;
}

export function withoutFilters(parameters) {
  return new URLSearchParams([...parameters].filter(([name]) => ["limit", "order", ...OWN].includes(name) && name !== "group"));
}
