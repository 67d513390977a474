// Saves a download that needs the token in a header, so that no link can ask for it.

import { Problem, request } from "../client.js";

// Writes what the server sends to a file. Streams to disk where the browser can (`pickFile`), else through a blob.
// Calls `progress(bytes)`. Throws Problem if it ends early: then no file is left, or an empty one.
export async function save(path, parameters, name, progress, signal) {
  const target = await pickFile(name);
  if (target === null) return false;
  const response = await request(path, { parameters, signal });
  const counted = response.body.pipeThrough(counter(progress));
  try {
    if (target) await counted.pipeTo(await target.createWritable(), { signal });
    else download(await new Response(counted).blob(), nameOf(response) ?? name);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The export was cut short: no file was saved.");
  }
  return true;
}

// Returns a file to write to; null if the reader cancelled, undefined where the browser has no such thing.
async function pickFile(name) {
  if (!window.showSaveFilePicker) return undefined;
  try {
    return await window.showSaveFilePicker({ suggestedName: name });
  } catch (error) {
    if (error.name === "AbortError") return null;
    return undefined;
  }
}

function counter(progress) {
  let total = 0;
  return new TransformStream({
    transform(chunk, controller) {
      total += chunk.byteLength;
      progress(total);
      controller.enqueue(chunk);
    },
  });
}

const nameOf = (response) => /filename="?([^";]+)/.exec(response.headers.get("Content-Disposition") ?? "")?.[1];

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // Not at once: the browser reads the blob after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
