// A running request, and its outcome: pictures, texts, policy, timeline and cost, or an error.

import { byId, copy, download, el, seconds, words } from "./dom.js";

let timer = null;

// ── progress ──

export function startWork(onCancel) {
  const began = performance.now();
  byId("stages").replaceChildren(stageItem("request", "Sent. Waiting for a free worker", null));
  byId("outcome").replaceChildren();
  byId("working").hidden = false;
  byId("cancel").disabled = false;
  byId("cancel").onclick = () => {
    byId("cancel").disabled = true;
    onCancel();
  };
  clearInterval(timer);
  timer = setInterval(() => { byId("elapsed").textContent = seconds(performance.now() - began); }, 200);
}

export function endWork() {
  clearInterval(timer);
  byId("working").hidden = true;
}

/** Show a progress report; a stage at step 0 has been sent and waits for a worker. */
export function showProgress({ stage, step, of, percent }) {
  const waiting = step === 0;
  const text = waiting ? `${words(stage)}: waiting for a worker` : `${words(stage)}: step ${step} of ${of}`;
  const item = byId("stages").querySelector(`[data-stage="${CSS.escape(stage)}"]`);
  const fresh = stageItem(stage, text, percent);
  if (item) item.replaceWith(fresh);
  else byId("stages").append(fresh);
}

function stageItem(stage, text, percent) {
  const bar = el("progress", { max: 100, "aria-label": words(stage) });
  if (percent !== null) bar.value = percent;
  return el("li", { dataset: { stage } }, text, bar);
}

// ── the outcome ──

export function showError(problem) {
  const kinds = problem.categories?.length ? `Rules: ${problem.categories.map(words).join(", ")}. ` : "";
  const advice = problem.categories?.length ? "Change what the request asks for. "
    : problem.retryable ? "Sending it again may help. " : "The same request would fail again. ";
  byId("outcome").replaceChildren(el("div", { className: "error", role: "alert" },
    el("p", {}, el("strong", {}, words(problem.code || "error"))),
    el("p", {}, problem.message),
    el("p", { className: "note" }, kinds, advice, problem.stage ? `Stage: ${problem.stage}.` : "")));
}

export const showNote = (text) => byId("outcome").replaceChildren(el("p", { className: "note" }, text));

/** Every picture of a result as {blob, seed, format, width, height}; failed ones as {error, seed}. */
export async function picturesOf(result) {
  const items = result.images?.length ? result.images : [result];
  return Promise.all(items.map(async (item) => {
    if (item.error) return { error: item.error, seed: item.seed };
    const source = item.image_base64 ? `data:image/${item.image_format};base64,${item.image_base64}` : item.image_url;
    const blob = item.image_base64 ? bytesOf(item.image_base64, item.image_format) : await fetched(source);
    const { seed, image_format: format, width, height } = item;
    return { blob, seed, format, width, height, url: blob ? null : source };
  }));
}

function bytesOf(base64, format) {
  const text = atob(base64);
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  return new Blob([bytes], { type: `image/${format}` });
}

/** A stored picture; null if the bucket does not allow this page to read it. */
async function fetched(url) {
  try {
    return await (await fetch(url)).blob();
  } catch {
    return null;
  }
}

export function showResult(result, pictures, request, { useSeed, usePerson }) {
  const children = [
    el("div", { className: "pictures" }, ...pictures.map((picture) => pictureFigure(picture, result, useSeed))),
    result.caption ? el("p", { className: "caption" }, result.caption) : null,
    actions(result, request, usePerson),
    facts(result),
    el("h2", {}, "Timeline"), chart(result.timeline ?? []),
  ];
  byId("outcome").replaceChildren(...children.filter(Boolean));
}

function pictureFigure(picture, result, useSeed) {
  if (picture.error) {
    return el("figure", {}, el("div", { className: "error" }, el("strong", {}, words(picture.error.code)), el("p", {}, picture.error.message)));
  }
  const source = picture.blob ? URL.createObjectURL(picture.blob) : picture.url;
  const name = `img-pod-${picture.seed}.${picture.format}`;
  return el("figure", {},
    el("img", { src: source, alt: result.caption || "The picture that was made" }),
    el("figcaption", {}, `${picture.width} × ${picture.height}, seed ${picture.seed}`),
    el("p", { className: "row" },
      picture.blob ? el("button", { type: "button", onclick: () => download(picture.blob, name) }, "Download") : null,
      el("button", { type: "button", onclick: () => useSeed(picture.seed) }, "Keep this seed")));
}

function actions(result, request, usePerson) {
  const button = (label, onclick) => el("button", { type: "button", onclick }, label);
  return el("p", { className: "row" },
    button("Copy as curl", (event) => copy(asCurl(request), event.currentTarget)),
    button("Copy as Python", (event) => copy(asPython(request), event.currentTarget)),
    result.features ? button("Use this person in a chat", usePerson) : null);
}

function facts(result) {
  const policy = result.policy ?? {};
  const degraded = (result.degraded ?? []).map((one) => `${one.stage}: ${one.reason}, ${one.fallback} instead`);
  const rows = {
    Prompt: result.prompt_used,
    Policy: [policy.verdict, ...(policy.categories ?? []).map(words), policy.treated_as && `judged as ${words(policy.treated_as).toLowerCase()}`].filter(Boolean).join(", "),
    Face: result.face && (result.face.detected ? `found, quality ${Math.round(result.face.quality_score * 100)} %` : "none found; the whole picture was read"),
    Degraded: degraded.join("; ") || "nothing",
    Cost: result.cost_usd === null || result.cost_usd === undefined ? "not priced" : `$${result.cost_usd.toFixed(5)}`,
    Trace: result.trace_id,
  };
  const pairs = Object.entries(rows).filter(([, value]) => value);
  return el("dl", {}, ...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

/** Stages as bars over the request's time: waiting for a worker is hatched, work is solid. */
function chart(timeline) {
  const total = Math.max(1, ...timeline.map((one) => one.started_ms + one.wall_ms));
  const box = el("div", { className: "chart" });
  for (const one of timeline) {
    const wait = Math.min(one.queue_ms ?? 0, one.wall_ms);
    const track = el("div", { className: "track", role: "img",
      "aria-label": `${one.stage}: began after ${seconds(one.started_ms)}, waited ${seconds(wait)}, took ${seconds(one.wall_ms)}` });
    track.append(bar("wait", one.started_ms, wait, total), bar("work", one.started_ms + wait, one.wall_ms - wait, total));
    box.append(el("span", {}, words(one.stage)), track, el("span", {}, seconds(one.wall_ms)));
  }
  return box;
}

function bar(kind, start, length, total) {
  const node = el("div", { className: `bar ${kind}`, hidden: length <= 0 });
  node.style.left = `${(100 * start) / total}%`;
  node.style.width = `${(100 * length) / total}%`;
  return node;
}

// ── export of the request ──

function asCurl({ path, body }) {
  const quoted = JSON.stringify(withoutSelfie(body, "$(base64 < me.jpg | tr -d '\\n')")).replaceAll("'", "'\\''");
  const data = body.selfie ? `"${JSON.stringify(withoutSelfie(body, "'SELFIE'")).replaceAll('"', '\\"').replace("'SELFIE'", "$(base64 < me.jpg | tr -d '\\n')")}"` : `'${quoted}'`;
  return `curl -s ${location.origin}/v1/${path} \\\n  -H 'Content-Type: application/json' \\\n  -d ${data}`;
}

function asPython({ path, body }) {
  const method = { "profile/create": "profile.create", "chat/scenes/generate": "chat.scenes",
    "chat/shorts/generate": "chat.shorts", "chat/1to1/imagegen": "chat.one_to_one", imagegen: "imagegen" }[path];
  const given = Object.entries(withoutSelfie(body, "me.jpg")).map(([name, value]) => `        ${name}=${python(value)},`);
  return `from img_pod import ImgPod\n\nwith ImgPod("${location.origin}") as client:\n    result = client.${method}(\n${given.join("\n")}\n    )\nresult.save("picture." + result.image_format)\n`;
}

const withoutSelfie = (body, stand) => (body.selfie ? { ...body, selfie: stand } : body);

function python(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${python(item)}`).join(", ")}}`;
  return JSON.stringify(value);
}
