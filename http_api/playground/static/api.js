// The HTTP API: its description, and one request as a stream of events.

import { byId } from "./dom.js";

let description = null;

/** An error of the service (RFC 9457), with `code`, `detail`, `retryable`, `stage` and `categories`. */
export class Problem extends Error {
  constructor(body) {
    super(body.detail || "The request failed.");
    Object.assign(this, { code: "connection_failed", retryable: true, stage: null, categories: [] }, body);
  }
}

export async function describe() {
  const response = await fetch("/openapi.json");
  if (!response.ok) throw new Problem(await problemOf(response));
  description = await response.json();
  return description;
}

/** The properties of a schema by name, each with its `$ref` and its null alternative resolved. */
export function propertiesOf(name) {
  const entries = Object.entries(description.components.schemas[name].properties);
  return Object.fromEntries(entries.map(([field, schema]) => [field, resolved(schema)]));
}

function resolved(schema) {
  const { anyOf, allOf, $ref, ...own } = schema;
  const parts = (anyOf || allOf || []).filter((part) => part.type !== "null");
  const merged = parts.length === 1 ? { ...resolved(parts[0]), ...own } : { ...own };
  return $ref ? { ...description.components.schemas[$ref.split("/").pop()], ...merged } : merged;
}

function headers() {
  const key = byId("api-key").value.trim();
  return key ? { "X-API-Key": key } : {};
}

/** POST a task. `onEvent(name, data)` gets every event; resolves with the result. Aborting `signal` cancels the job. */
export async function run(path, body, onEvent, signal) {
  let response;
  try {
    response = await fetch(`/v1/${path}`, {
      method: "POST",
      headers: { ...headers(), "Content-Type": "application/json", Accept: "text/event-stream" },
      body: JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ detail: "The service could not be reached. Is it still running?" });
  }
  if (!response.ok) throw new Problem(await problemOf(response));
  for await (const { name, data } of events(response.body)) {
    if (name === "result") return data;
    if (name === "error") throw new Problem(data);
    onEvent(name, data);
  }
  throw new Problem({ detail: "The connection was closed before the answer was complete. Send the request again." });
}

async function problemOf(response) {
  try {
    return await response.json();
  } catch {
    return { detail: `The service answered ${response.status}.`, retryable: response.status >= 500 };
  }
}

async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value.replaceAll("\r\n", "\n");
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const event = parsed(block);
      if (event) yield event;
    }
  }
}

function parsed(block) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length ? { name, data: JSON.parse(data.join("\n")) } : null;
}
