// Options of a request as form fields. Bounds and choices come from the API's description.

import { propertiesOf } from "./api.js";
import { el, words } from "./dom.js";

const RATIOS = [[1, 1], [3, 4], [4, 3], [9, 16], [16, 9]];
const MAIN = ["size", "n", "seed", "style", "caption"];
const MORE = ["output_format", "language", "include_prompt", "timeout_s", "face"];
let count = 0;

/** Fill `.options` elements with the fields of the schema that each names. */
export function buildOptions(root) {
  for (const box of root.querySelectorAll(".options")) {
    const properties = propertiesOf(box.dataset.schema);
    const main = el("div", { className: "grid" });
    const more = el("div", { className: "grid" });
    for (const name of MAIN) add(main, name, properties);
    for (const name of MORE) add(more, name, properties);
    box.replaceChildren(main, el("details", { className: "more" }, el("summary", {}, "More options"), more));
  }
}

function add(grid, name, properties) {
  const schema = name === "size" ? properties.width : properties[name];
  if (schema) grid.append(field(name, schema));
}

function field(name, schema) {
  const id = `field-${name}-${(count += 1)}`;
  if (name === "size") return labelled(id, "Size", sizes(id, schema));
  if (name === "seed") return seedField(id, schema);
  if (schema.enum) return labelled(id, words(name), choice(id, name, schema));
  if (schema.type === "boolean") return checkbox(id, name, schema);
  const numeric = ["integer", "number"].includes(schema.type);
  const input = el("input", {
    id, name, type: numeric ? "number" : "text", min: schema.minimum, max: schema.maximum,
    step: schema.type === "integer" ? schema.multipleOf || 1 : "any", maxLength: schema.maxLength,
    placeholder: schema.default ?? "", dataset: { kind: numeric ? "number" : "text" },
  });
  return labelled(id, name === "n" ? "Pictures" : words(name.replace(/_s$/, " (seconds)")), input, hint(schema));
}

function labelled(id, label, input, note = "") {
  return el("div", {}, el("label", { htmlFor: id }, label), input, note ? el("span", { className: "hint" }, note) : null);
}

function hint(schema) {
  return schema.minimum !== undefined && schema.maximum !== undefined ? `${schema.minimum} to ${schema.maximum}` : "";
}

function choice(id, name, schema) {
  const select = el("select", { id, name, dataset: { kind: "text" } });
  for (const value of schema.enum) select.append(el("option", { value, selected: value === schema.default }, words(value)));
  return select;
}

function checkbox(id, name, schema) {
  const label = name === "include_prompt" ? "Write the prompt into the file" : words(name);
  const input = el("input", { id, name, type: "checkbox", checked: schema.default === true, dataset: { kind: "flag" } });
  return el("div", {}, el("label", { className: "inline", htmlFor: id }, input, label));
}

/** Size presets within the description's bounds, and the default size of the model. */
function sizes(id, schema) {
  const select = el("select", { id, name: "size", dataset: { kind: "size" } }, el("option", { value: "" }, "The model’s own"));
  const step = schema.multipleOf || 1;
  for (const longest of [512, 1024, schema.maximum]) {
    for (const [across, down] of RATIOS) {
      const scale = longest / Math.max(across, down);
      const [width, height] = [across, down].map((part) => Math.round((part * scale) / step) * step);
      if (Math.min(width, height) >= schema.minimum) {
        select.append(el("option", { value: `${width}x${height}` }, `${width} × ${height}`));
      }
    }
  }
  return select;
}

function seedField(id, schema) {
  const input = el("input", {
    id, name: "seed", type: "number", min: schema.minimum, max: schema.maximum, step: 1, placeholder: "random",
    dataset: { kind: "number" },
  });
  const lock = el("input", { id: `${id}-lock`, type: "checkbox", name: "seed-lock" });
  return el("div", {}, el("label", { htmlFor: id }, "Seed"), input,
    el("label", { className: "inline", htmlFor: lock.id }, lock, "Keep the last seed"));
}

/** The request's fields as JSON; empty ones are omitted. Throws with the field's own message if one is invalid. */
export function valuesOf(form) {
  const values = {};
  for (const input of form.querySelectorAll("[data-kind]")) {
    if (!input.checkValidity()) {
      input.reportValidity();
      throw new Error(`${input.name}: ${input.validationMessage}`);
    }
    const { kind } = input.dataset;
    if (kind === "flag") values[input.name] = input.checked;
    else if (input.value === "") continue;
    else if (kind === "number") values[input.name] = Number(input.value);
    else if (kind === "size") [values.width, values.height] = input.value.split("x").map(Number);
    else values[input.name] = input.value;
  }
  return values;
}

/** Keep the seed of a result in the fields that are locked. */
export function keepSeed(form, seed) {
  if (form.querySelector("[name=seed-lock]")?.checked) form.querySelector("[name=seed]").value = seed;
}

/** Set a field and, for a seed, lock it. */
export function setField(form, name, value) {
  const input = form.querySelector(`[data-kind][name=${name}]`);
  if (!input) return;
  input.value = value ?? "";
  if (name === "seed") form.querySelector("[name=seed-lock]").checked = value !== null && value !== undefined;
}
