// Requests to the API. It is one folder above the console, also behind a proxy that adds a prefix.

import { parse } from "./json.js";
import { session } from "./session.js";

const ROOT = new URL("..", import.meta.url);
// Milliseconds between attempts while the API does not answer: the last one is kept.
const PAUSES_MS = [500, 1000, 2000, 4000];
// Milliseconds after which one is told that an answer is still awaited.
const SLOW_MS = 5000;

// An answer that is no success. `message`: the server's; `status`: of HTTP.
export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// The API does not answer, or cannot answer now; the same request may succeed after `waitMs`.
export class Away extends Problem {
  constructor(status, message, waitMs = 0) {
    super(status, message);
    this.waitMs = waitMs;
  }
}

// Whether the API is away, as the last requests saw it. `changed` is called with the sentence to show, "" if it is back.
export const connection = {
  trouble: "",
  changed: () => {},
  report(trouble) {
    if (trouble === this.trouble) return;
    this.trouble = trouble;
    this.changed(trouble);
  },
};

// Returns the Response of a success; throws Problem, Away, or AbortError. Signs out on 401.
export async function request(path, { parameters, method = "GET", body, headers = {}, signal } = {}) {
  const url = new URL(path, ROOT);
  if (parameters) url.search = parameters;
  let response;
  try {
    response = await fetch(url, {
      method, signal, body, credentials: "omit", cache: "no-store",
      headers: { ...headers, Authorization: `Bearer ${session.token}` },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Away(0, "The API does not answer.");
  }
  if (response.ok) return response;
  const message = await messageOf(response);
  if (response.status === 401) session.end("The server does not accept this token or key, or it has expired.");
  if (![429, 503].includes(response.status)) throw new Problem(response.status, message);
  throw new Away(response.status, message, 1000 * (Number(response.headers.get("Retry-After")) || 0));
}

async function messageOf(response) {
  try {
    return (await response.json()).message;
  } catch {
    return `The server answered with status ${response.status}.`;
  }
}

// Reads JSON: `value`, its `text`, the Response and the milliseconds it took. Tries again while the API is away,
// until `signal` is aborted.
export async function get(path, options = {}) {
  return retried(options.signal, async () => {
    const started = performance.now();
    const response = await request(path, options);
    const text = await response.text();
    return { value: parse(text), text, response, ms: performance.now() - started };
  });
}

async function retried(signal, attempt) {
  for (let failed = 0; ; failed++) {
    let waitMs = PAUSES_MS[Math.min(failed, PAUSES_MS.length - 1)];
    const slow = setTimeout(() => connection.report("The API has not answered yet. Waiting…"), SLOW_MS);
    try {
      const found = await attempt();
      connection.report("");
      return found;
    } catch (error) {
      if (!(error instanceof Away)) throw error;
      connection.report(`${error.message} Trying again…`);
      waitMs = Math.max(waitMs, error.waitMs);
    } finally {
      clearTimeout(slow);
    }
    await pause(waitMs, signal);
  }
}

// Resolves after `ms`; rejects with AbortError when `signal` is aborted.
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
    if (signal?.aborted) {
      clearTimeout(timer);
      reject(signal.reason);
    }
  });
}

// Sends JSON once, without another attempt: for actions.
export async function send(path, value, method = "POST") {
  const headers = { "Content-Type": "application/json" };
  const response = await request(path, { method, headers, body: JSON.stringify(value) });
  return parse((await response.text()) || "null");
}

// The whole address of a path, to be shown.
export const address = (path, parameters) => {
  const url = new URL(path, ROOT);
  if (parameters) url.search = parameters;
  return url.href;
};
