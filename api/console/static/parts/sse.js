// Server-Sent Events over `fetch`: `EventSource` cannot send the header with the token.

import { Away, pause, Problem, request } from "../client.js";

const PAUSE_MS = 2000;
// The server sends a comment every 15 s: after a longer silence the connection is dead, as after a computer's sleep.
const SILENCE_MS = 40_000;

// Splits a stream of text into events { id, event, data }. Comments and unknown fields are passed over.
export class EventParser {
  rest = "";
  current = {};

  // Returns the events that end in `text`.
  push(text) {
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop();
    const found = [];
    for (const line of lines) {
      if (line === "") {
        if (this.current.data !== undefined) found.push({ event: "message", ...this.current });
        this.current = {};
        continue;
      }
      const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
      if (name === "data") this.current.data = this.current.data === undefined ? value : `${this.current.data}\n${value}`;
      else if (name === "id" || name === "event") this.current[name] = value;
    }
    return found;
  }
}

// Calls `receive` with each event until `signal` is aborted. Connects again, from the last event on, whenever the
// stream ends. Throws Problem where the server has no such stream. `report(connected)`: whether events arrive.
export async function follow(path, parameters, receive, report, signal) {
  let last = null;
  for (;;) {
    try {
      const headers = last ? { Accept: "text/event-stream", "Last-Event-ID": last } : { Accept: "text/event-stream" };
      const response = await request(path, { parameters, headers, signal });
      report(true);
      const parser = new EventParser();
      for await (const text of chunks(response.body)) {
        for (const event of parser.push(text)) {
          last = event.event === "reset" ? null : event.id ?? last;
          receive(event);
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && !(error instanceof Away)) throw error;
    }
    if (signal.aborted) return;
    report(false);
    await pause(PAUSE_MS, signal).catch(() => {});
  }
}

async function* chunks(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const silence = setTimeout(() => reader.cancel(), SILENCE_MS);
    const { done, value } = await reader.read().finally(() => clearTimeout(silence));
    if (done) return;
    yield value;
  }
}
