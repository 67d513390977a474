// What changed since the page was read, from the stream of changes. The page itself stays until one asks for it.

import { count } from "../../parts/format.js";
import { follow } from "../../parts/sse.js";
import { isUnknown, LIST } from "./data.js";
import { listParameters } from "./query.js";

// The page as the stream last described it, and whether the stream is there.
export class Live {
  state = "";
  latest = null;
  #following = new AbortController();

  // `changed` is called after each change of `state` or `latest`.
  constructor(changed) {
    this.changed = changed;
  }

  start(parameters) {
    this.stop();
    this.#following = new AbortController();
    this.latest = null;
    this.#set("connecting");
    const { signal } = this.#following;
    follow(`${LIST}/changes`, listParameters(parameters), (event) => this.#receive(event), (connected) => {
      this.#set(connected ? "live" : "reconnecting");
    }, signal).catch((error) => {
      this.#set(isUnknown(error, "limit") ? "no live updates on this server" : `no live updates: ${error.message}`);
    });
  }

  stop() {
    this.#following.abort();
  }

  #receive({ event, data }) {
    if (event === "change") {
      const { position, list } = JSON.parse(data);
      this.latest = { position, count: list?.count, changed: list?.changed ?? true };
    } else if (event === "reset") {
      this.latest = { position: null, count: undefined, changed: true };
    }
    this.changed();
  }

  #set(state) {
    this.state = state;
    this.changed();
  }
}

// Returns the text of the button that shows what changed; null if the page is what the server has.
export function news(page, latest) {
  if (!page || !latest || latest.position === page.position) return null;
  const entered = latest.count === undefined ? 0 : latest.count - page.count;
  if (entered > 0) return `${count(entered)} new`;
  return latest.changed || entered < 0 ? "Show changes" : null;
}

// Returns what became of the rows: group id -> "new", "changed" or "moved". A row moved if it passed another one that
// was there before.
export function marksOf(before, after) {
  const old = new Map(before.map((group, index) => [group.id, { index, text: JSON.stringify(group) }]));
  const marks = new Map();
  let furthest = -1;
  for (const group of after) {
    const was = old.get(group.id);
    if (!was) marks.set(group.id, "new");
    else if (was.text !== JSON.stringify(group)) marks.set(group.id, "changed");
    else if (was.index < furthest) marks.set(group.id, "moved");
    furthest = Math.max(furthest, was?.index ?? -1);
  }
  return marks;
}
