// The gallery: by day, with search, comparison of two, deletion and export.

import { announce, byId, download, el } from "./dom.js";
import * as store from "./store.js";

const chosen = new Set();
let open = () => {};

export async function addToGallery(result, pictures, request) {
  const { selfie, ...kept } = request.body;
  const created = Date.now();
  for (const [number, picture] of pictures.entries()) {
    if (!picture.blob) continue;
    const { image_base64: _, images: __, ...facts } = result;
    await store.put({
      id: `${result.trace_id}-${number}`, created: created + number, path: request.path, request: kept, result: facts,
      seed: picture.seed, format: picture.format, width: picture.width, height: picture.height, blob: picture.blob,
    });
  }
}

/** Add the results that the deployment offers (those of ./demo) to the gallery once. */
export async function importOffered() {
  const response = await fetch("/playground/offered.json");
  if (!response.ok) return;
  for (const offered of await response.json()) {
    if (await store.has(offered.id)) continue;
    const blob = await (await fetch(offered.url)).blob();
    await store.put({ ...offered, blob });
  }
}

export async function showGallery() {
  const wanted = byId("search").value.trim().toLowerCase();
  const entries = (await store.all()).filter((entry) => !wanted || text(entry).includes(wanted));
  chosen.clear();
  update();
  const days = Map.groupBy ? Map.groupBy(entries, day) : grouped(entries);
  const sections = [...days].flatMap(([name, list]) => [
    el("h2", { className: "day" }, name), el("div", { className: "cards" }, ...list.map(card)),
  ]);
  byId("gallery").replaceChildren(...(sections.length ? sections : [el("p", { className: "note" }, wanted ? "Nothing found." : "No pictures yet.")]));
}

const day = (entry) => new Date(entry.created).toLocaleDateString(undefined, { dateStyle: "full" });

function grouped(entries) {
  const days = new Map();
  for (const entry of entries) days.set(day(entry), [...(days.get(day(entry)) ?? []), entry]);
  return days;
}

const text = (entry) => [entry.path, entry.result.caption, entry.result.prompt_used, entry.request.prompt, entry.seed].join(" ").toLowerCase();

function card(entry) {
  const source = URL.createObjectURL(entry.blob);
  const words = entry.result.caption || entry.result.prompt_used || entry.path;
  const pick = el("input", { type: "checkbox", onchange: (event) => choose(entry, event.target.checked) });
  return el("article", { className: "card" },
    el("img", { src: source, alt: words, loading: "lazy" }),
    el("p", {}, words),
    el("label", { className: "inline" }, pick, "Compare"),
    el("p", { className: "row" },
      el("button", { type: "button", onclick: () => open(entry) }, "Recipe"),
      el("button", { type: "button", onclick: () => download(entry.blob, `img-pod-${entry.seed}.${entry.format}`) }, "Download"),
      el("button", { type: "button", "aria-label": `Delete: ${words}`, onclick: () => removeOne(entry) }, "Delete")));
}

async function removeOne(entry) {
  await store.remove(entry.id);
  await showGallery();
  announce("Deleted.");
  byId("search").focus();
}

function choose(entry, on) {
  if (on) chosen.add(entry);
  else chosen.delete(entry);
  update();
}

const update = () => { byId("compare").disabled = chosen.size !== 2; };

function compare() {
  const [first, second] = [...chosen];
  byId("compare-a").src = URL.createObjectURL(first.blob);
  byId("compare-b").src = URL.createObjectURL(second.blob);
  byId("compare-box").showModal();
}

async function exportAll() {
  const entries = await store.all();
  const exported = await Promise.all(entries.map(async ({ blob, ...facts }) => ({ ...facts, picture: await dataUrl(blob) })));
  download(new Blob([JSON.stringify(exported, null, 1)], { type: "application/json" }), "img-pod-gallery.json");
}

function dataUrl(blob) {
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.readAsDataURL(blob);
  });
}

export function connectGallery(openRecipe) {
  open = openRecipe;
  byId("search").addEventListener("input", showGallery);
  byId("compare").addEventListener("click", compare);
  byId("compare-close").addEventListener("click", () => byId("compare-box").close());
  byId("compare-slider").addEventListener("input", (event) => {
    document.querySelector(".compare").style.setProperty("--cut", `${event.target.value}%`);
  });
  byId("export").addEventListener("click", exportAll);
  byId("delete-all").addEventListener("click", async () => {
    if (!confirm("Delete all pictures of this browser?")) return;
    await store.clear();
    await showGallery();
    announce("All pictures are deleted.");
  });
}
