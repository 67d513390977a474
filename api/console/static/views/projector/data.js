// Requests of operators, and what several of their views share.

import { get, pause, send } from "../../client.js";
import { html } from "../../html.js";
import { count } from "../../parts/format.js";
import { failed } from "../../parts/states.js";

const ROOT = "admin/projector/";
const ENDED = ["done", "refused", "failed"];
// Milliseconds between two looks at an action that waits or runs.
const LOOK_EVERY_MS = 400;

export const read = async (path, signal, parameters) => (await get(ROOT + path, { signal, parameters })).value;

// Calls `found` with what `path` has, every `every` milliseconds until `signal` is aborted; `broken` with an error.
export async function watch(path, every, signal, found, broken) {
  try {
    for (;;) {
      found(await read(path, signal));
      await pause(every, signal);
    }
  } catch (error) {
    if (!signal.aborted) broken(error);
  }
}

// Requests an action, and calls `seen` with it until it has ended. Returns it then.
export async function follow(action, signal, seen = () => {}) {
  const { id } = (await send(`${ROOT}actions`, action)).action;
  for (;;) {
    const found = (await read(`actions/${id}`, signal)).action;
    seen(found);
    if (ENDED.includes(found.state)) return found;
    await pause(LOOK_EVERY_MS, signal);
  }
}

// Instead of a view: why it is closed, or what failed.
export const closed = (error) => (error.status !== 403 ? failed(error) : html`
  <div class="state"><p><strong>This view is for operators.</strong></p>
    <p>You may read order groups, and no more. An operator signs in with a key whose hash is in
      <code>OPERATOR_KEY_HASHES</code>, or with the token of an actor in <code>OPERATOR_ACTOR_IDS</code>:
      settings of the API, which are empty unless somebody sets them. <code>projector up</code> prints a link that has
      the right.</p></div>`);

// "2 min 5 s" of seconds.
export function duration(seconds) {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${count(Math.floor(s / 3600))} h ${Math.floor((s % 3600) / 60)} min`;
}
