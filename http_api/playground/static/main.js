// The page: three tabs (person, chat, prompt), the gallery, and one request at a time.

import { describe, propertiesOf, run } from "./api.js";
import { announce, byId, el } from "./dom.js";
import { buildOptions, keepSeed, setField, valuesOf } from "./form.js";
import { addToGallery, connectGallery, importOffered, showGallery } from "./gallery.js";
import { keptPerson, setPerson } from "./person.js";
import { recipeOf } from "./recall.js";
import { endWork, picturesOf, showError, showNote, showProgress, showResult, startWork } from "./result.js";
import { connectSelfie, drawFace, selfieText } from "./selfie.js";

const ACTS = ["person", "chat", "prompt", "gallery"];
let messages = [];
let running = null;

// ── tabs ──

function show(act, focus = false) {
  for (const name of ACTS) {
    const tab = byId(`tab-${name}`);
    tab.setAttribute("aria-selected", String(name === act));
    tab.tabIndex = name === act ? 0 : -1;
    byId(`act-${name}`).hidden = name !== act;
  }
  document.body.classList.toggle("gallery", act === "gallery");
  if (focus) byId(`tab-${act}`).focus();
  if (act === "gallery") showGallery();
}

function connectTabs() {
  for (const [index, name] of ACTS.entries()) {
    const tab = byId(`tab-${name}`);
    tab.addEventListener("click", () => show(name));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const target = event.key === "Home" ? 0 : event.key === "End" ? ACTS.length - 1 : step && (index + step + ACTS.length) % ACTS.length;
      if (target === undefined) return;
      event.preventDefault();
      show(ACTS[target], true);
    });
  }
}

// ── one request ──

async function send(path, form, fields) {
  if (running) return;
  let body;
  try {
    body = { ...valuesOf(form), ...fields };
  } catch (error) {
    announce(error.message);
    return;
  }
  const request = { path, body };
  running = new AbortController();
  setBusy(true);
  startWork(() => running.abort());
  announce("Sent.");
  try {
    const result = await run(path, body, (name, data) => name === "progress" && report(data), running.signal);
    await finish(result, request, form);
  } catch (error) {
    fail(error);
  } finally {
    running = null;
    endWork();
    setBusy(false);
    byId("result").focus({ preventScroll: true });
    byId("result").scrollIntoView({ block: "nearest" });
  }
}

let announced = "";

function report(progress) {
  showProgress(progress);
  if (progress.stage === announced) return;
  announced = progress.stage;
  announce(`Stage ${progress.stage}, ${progress.percent} percent.`);
}

async function finish(result, request, form) {
  const pictures = await picturesOf(result);
  if (result.features) setPerson(result.features);
  if (result.face) drawFace(result.face.box);
  keepSeed(form, result.seed);
  showResult(result, pictures, request, {
    useSeed: (seed) => { setField(form, "seed", seed); announce(`Seed ${seed} is kept.`); },
    usePerson: () => show("chat", true),
  });
  announce(`The picture is ready. ${result.caption ?? ""}`);
  await addToGallery(result, pictures, request);
}

function fail(error) {
  if (error.name === "AbortError") {
    showNote("Cancelled. The job was stopped.");
    announce("Cancelled.");
    return;
  }
  showError(error);
  announce(`Failed: ${error.message}`);
}

function setBusy(busy) {
  for (const button of document.querySelectorAll("button.primary[type=submit]")) button.disabled = busy;
}

// ── the three request tabs ──

function connectPerson() {
  connectSelfie();
  byId("form-person").addEventListener("submit", (event) => {
    event.preventDefault();
    const selfie = selfieText();
    if (!selfie) {
      showNote("Choose a selfie first.");
      announce("Choose a selfie first.");
      return;
    }
    send("profile/create", event.target, { selfie });
  });
}

const withPerson = () => (keptPerson() ? { features: keptPerson() } : {});

function connectChat() {
  const input = byId("message");
  input.maxLength = 4000; // of a longer text, the service uses the end
  const add = (role) => {
    if (!input.value.trim()) return;
    messages.push({ role, content: input.value.trim() });
    input.value = "";
    showMessages();
    input.focus();
  };
  byId("add-user").addEventListener("click", () => add("user"));
  byId("add-assistant").addEventListener("click", () => add("assistant"));
  byId("clear-messages").addEventListener("click", () => { messages = []; showMessages(); });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); add("user"); }
  });
  byId("form-chat").addEventListener("submit", (event) => {
    event.preventDefault();
    add("user");
    if (!messages.length) {
      showNote("Write a message first.");
      announce("Write a message first.");
      return;
    }
    const path = event.target.querySelector("[name=route]:checked").value;
    send(path, event.target, { messages, ...withPerson() });
  });
}

function showMessages() {
  byId("messages").replaceChildren(...messages.map((message, index) => el("li", { className: message.role },
    el("span", { className: "visually-hidden" }, `${message.role}: `), message.content,
    el("button", { type: "button", "aria-label": `Remove message ${index + 1}`, onclick: () => {
      messages.splice(index, 1);
      showMessages();
      byId("message").focus();
    } }, "×"))));
}

function connectPrompt() {
  const { maxLength } = propertiesOf("ImageGen").prompt;
  byId("prompt").maxLength = maxLength;
  byId("form-prompt").addEventListener("submit", (event) => {
    event.preventDefault();
    const prompt = byId("prompt").value.trim();
    if (!prompt) {
      byId("prompt").reportValidity();
      return;
    }
    send("imagegen", event.target, { prompt, ...withPerson() });
  });
}

// ── reading a recipe from a picture ──

function connectRecall() {
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => { event.preventDefault(); recall(event.dataTransfer.files[0]); });
  byId("recall-file").addEventListener("change", (event) => recall(event.target.files[0]));
}

async function recall(file) {
  if (!file) return;
  const recipe = await recipeOf(file);
  openRecipe(recipe ?? {}, recipe ? null : "This picture has no recipe of img-pod: it was made elsewhere, or the marks were removed.");
}

/** Show a recipe with three actions: view, use all, remix without the seed. */
function openRecipe(recipe, problem = null) {
  const rows = { Model: recipe.model, Revision: recipe.revision, Seed: recipe.seed, Steps: recipe.steps, Prompt: recipe.prompt };
  const pairs = Object.entries(rows).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const note = problem ?? (recipe.prompt ? null : "The file does not contain its prompt: it was made without “Write the prompt into the file”.");
  byId("recipe-body").replaceChildren(
    el("dl", {}, ...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))])),
    ...(note ? [el("p", { className: "note" }, note)] : []));
  byId("recipe-all").disabled = byId("recipe-remix").disabled = Boolean(problem);
  byId("recipe-all").onclick = () => use(recipe, recipe.seed);
  byId("recipe-remix").onclick = () => use(recipe, null);
  byId("recipe-look").onclick = () => byId("recipe").close();
  byId("recipe").showModal();
}

function use(recipe, seed) {
  byId("recipe").close();
  if (recipe.prompt) byId("prompt").value = recipe.prompt;
  setField(byId("form-prompt"), "seed", seed);
  show("prompt");
  byId("prompt").focus();
  announce(seed === null ? "The prompt is filled in." : "The prompt and the seed are filled in.");
}

const openEntry = (entry) => openRecipe({
  model: entry.result.model?.name, revision: entry.result.model?.revision, seed: entry.seed,
  prompt: entry.request.prompt ?? entry.result.prompt_used,
});

// ── start ──

async function start() {
  byId("api-key").value = sessionStorage.getItem("img-pod-key") ?? "";
  byId("api-key").addEventListener("change", (event) => sessionStorage.setItem("img-pod-key", event.target.value.trim()));
  connectTabs();
  connectGallery(openEntry);
  connectRecall();
  try {
    const description = await describe();
    byId("deployment").textContent = `${location.host}, version ${description.info.version}`;
    buildOptions(document);
    connectPerson();
    connectChat();
    connectPrompt();
  } catch (error) {
    byId("deployment").textContent = `The page could not start: ${error.message}`;
    announce(error.message);
    return;
  }
  await importOffered();
  if (location.hash === "#gallery") show("gallery");
  document.body.dataset.ready = "true";
}

start();
