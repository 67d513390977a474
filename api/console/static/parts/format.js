// Texts of values: times, numbers, ids.

import { html } from "../html.js";

const LOCAL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const NUMBER = new Intl.NumberFormat(undefined);
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

// A time of the API, in the zone of the reader; with UTC when one points at it.
export function time(iso) {
  if (!iso) return "";
  return html`<time datetime=${iso} title=${`${iso.replace("T", " ").replace("Z", "")} UTC`}>${LOCAL.format(new Date(iso))}</time>`;
}

export const count = (number) => NUMBER.format(number);

// Digits as the API has them: see json.js.
export const exact = (number) => String(number);

// A foreign text: its direction does not spread, and what has no shape is shown as a symbol.
export const text = (value) => (value === null || value === undefined ? "" : html`<bdi>${visible(value)}</bdi>`);

export const visible = (value) => String(value).replace(CONTROL, (character) => {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  return code === 0x7f ? "\u2421" : `\\u${code.toString(16).padStart(4, "0")}`;
});

export const bytes = (number) => {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  for (; number >= 1024 && unit < units.length - 1; unit++) number /= 1024;
  return `${unit ? number.toFixed(1) : number} ${units[unit]}`;
};
