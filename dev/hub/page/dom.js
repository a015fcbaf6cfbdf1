// Builds elements. All text goes in as text nodes: what a finding says is never read as HTML.

export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value === "boolean") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const GLYPHS = { CRITICAL: "◆", HIGH: "▲", MEDIUM: "■", LOW: "●", INFORMATIONAL: "○" };
export const SEVERITIES = Object.keys(GLYPHS);
export const WORKFLOWS = ["NEW", "NOTIFIED", "RESOLVED", "SUPPRESSED"];
export const STATES = ["ACTIVE", "ARCHIVED"];

export const word = (text) => text.charAt(0) + text.slice(1).toLowerCase();

export function severity(label) {
  return el("span", { class: `severity ${label.toLowerCase()}` },
    el("span", { "aria-hidden": "true", class: "glyph" }, GLYPHS[label] ?? "○"), word(label));
}

export function pill(text) {
  return el("span", { class: `pill ${text.toLowerCase()}` }, word(text));
}

// Times are shown in UTC, as the findings carry them; the full text is one hover away.
export function time(text) {
  const shown = /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(text) ? new Date(text) : null;
  const readable = shown && !Number.isNaN(shown.getTime()) ? shown.toISOString().slice(0, 19).replace("T", " ") : text;
  return el("time", { datetime: text, title: text }, readable);
}

// The last part of an ARN is what a person calls a cluster.
export const short = (name) => (name.startsWith("arn:") ? name.slice(name.lastIndexOf("/") + 1) : name);

export const number = (value) => value.toLocaleString("en");
export const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

export async function ask(path, body) {
  const options = body === undefined
    ? {}
    : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(path, { cache: "no-store", ...options });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return response.json();
}
