// The person of all pictures: the editable features of a selfie.

import { propertiesOf } from "./api.js";
import { announce, byId, el, words } from "./dom.js";

let person = null;

export const keptPerson = () => person;

export function setPerson(features) {
  person = features;
  showFeatures();
  showChips();
}

function showFeatures() {
  byId("features-box").hidden = !person;
  if (!person) return;
  const fields = Object.entries(propertiesOf("Features")).filter(([, schema]) => schema.enum);
  byId("features").replaceChildren(...fields.map(([name, schema]) => featureField(name, schema)));
}

function featureField(name, schema) {
  const id = `feature-${name}`;
  const select = el("select", { id, onchange: (event) => change(name, event.target.value) });
  for (const value of schema.enum) {
    select.append(el("option", { value, selected: value === (person[name] ?? "unknown") }, words(value)));
  }
  const share = person.confidence?.[name];
  const note = share === undefined ? null : el("span", { className: "hint" }, `${Math.round(share * 100)} % sure`);
  return el("div", {}, el("label", { htmlFor: id }, words(name)), select, note);
}

/** Change an attribute; the signature and the confidence of the reading are then no longer valid. */
function change(name, value) {
  const { signature, ...rest } = person;
  const { [name]: _, ...confidence } = rest.confidence ?? {};
  setPerson({ ...rest, confidence, [name]: value });
  byId(`feature-${name}`).focus();
  announce(signature ? "Changed. The features are no longer signed." : "Changed.");
}

function showChips() {
  for (const chip of document.querySelectorAll(".person-chip")) {
    chip.replaceChildren(...(person ? [
      el("span", {}, `Person: ${summary()}`),
      el("button", { type: "button", onclick: () => setPerson(null) }, "Forget"),
    ] : []));
  }
}

function summary() {
  const names = ["age_band", "gender_presentation", "hair_color", "hair_length", "eye_color"];
  const known = names.map((name) => person[name]).filter((value) => value && value !== "unknown");
  return known.length ? known.map((value) => words(value).toLowerCase()).join(", ") : "no attribute could be read";
}
