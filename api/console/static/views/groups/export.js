// Exports what one sees: the filters and the columns of the view.

import { bytes } from "../../parts/format.js";
import { save } from "../../parts/save.js";
import { isUnknown, LIST } from "./data.js";
import { columnsOf, filterParameters } from "./query.js";

// Calls `report` with how far it is. Does not throw: what went wrong is reported.
export async function exportAs(parameters, format, rows, report) {
  const asked = filterParameters(parameters);
  asked.set("format", format);
  asked.set("rows", rows);
  const columns = columnsOf(parameters).map(({ name }) => name);
  asked.set("fields", (rows === "orders" ? [...columns, "*orders", "orders.seller.name"] : columns).join(","));
  const name = `order-groups-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.${format}`;
  let total = 0;
  const progress = (received) => {
    total = received;
    report(`${bytes(total)}…`, true);
  };
  report("Starting…", true);
  try {
    const saved = await save(`${LIST}/export`, asked, name, progress);
    report(saved ? `Saved ${bytes(total)}.` : "", false);
  } catch (error) {
    report(isUnknown(error, "format") ? "This server has no export." : error.message, false);
  }
}
