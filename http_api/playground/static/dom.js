// Small helpers for building elements. Text is always set as text, never as HTML.

export const byId = (id) => document.getElementById(id);

/** An element with properties (`dataset` and `on…` included) and children; null children are skipped. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(node.dataset, value);
    else if (name in node && name !== "list" && name !== "form") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Announce `text` to screen readers. */
export function announce(text) {
  byId("live").textContent = text;
}

export const words = (name) => {
  const text = String(name).replaceAll("_", " ").replace(/(\d) (\d)/g, "$1 to $2");
  return text.charAt(0).toUpperCase() + text.slice(1);
};

export const seconds = (ms) => `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;

/** Copy text and confirm it on the pressed button. */
export async function copy(text, button) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Copying is not allowed here";
  }
  setTimeout(() => { button.textContent = label; }, 1500);
}

export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
