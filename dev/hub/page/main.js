// The page's state: filters in the address, one page of rows from the server, the selection, and a poll that asks for a
// version number and fetches rows only when it has changed.

import { Detail } from "./detail.js";
import { SEVERITIES, STATES, WORKFLOWS, ask, byId, el, number, plural, setText, severity, short, word } from "./dom.js";
import { Table, keyOf } from "./table.js";

const DEFAULTS = {
  severity: [], workflow: ["NEW", "NOTIFIED"], record_state: ["ACTIVE"],
  cluster: "", account: "", namespace: "", source: "", policy: "", text: "", rows: "", sort: "severity", order: "desc", start: 0, size: 100,
};
const CHOICES = { cluster: "clusters", account: "accounts", namespace: "namespaces", source: "sources", policy: "policies" };
const POLL_MILLISECONDS = 1500;

const state = { ...DEFAULTS, ...fromAddress() };
const selected = new Map();
let version = -1;
let answer = null;
let latest = 0;

const table = new Table({
  open: (row) => (detail.key === keyOf(row) ? detail.close() : show(row)),
  select: (row, on) => { choose(row, on); mark(); },
  selectPage: (rows, on) => { rows.forEach((row) => choose(row, on)); mark(); },
  sort: (sort, order) => change({ sort, order }),
});
const detail = new Detail({ act, note, closed: (key) => { mark(); table.focusKey(key); } });

async function show(row) {
  await detail.open(row);
  mark();
}

function fromAddress() {
  const query = new URLSearchParams(location.search);
  const read = {};
  for (const [name, value] of Object.entries(DEFAULTS)) {
    if (!query.has(name)) continue;
    if (Array.isArray(value)) read[name] = query.get(name).split(",").filter(Boolean);
    else read[name] = typeof value === "number" ? Math.max(0, Number(query.get(name)) || 0) : query.get(name);
  }
  return read;
}

function toAddress() {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(DEFAULTS)) {
    if (String(state[name]) !== String(value)) query.set(name, String(state[name]));
  }
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
}

function change(values) {
  Object.assign(state, { start: 0 }, values);
  toAddress();
  controls();
  load({ top: true });
}

function question() {
  const query = new URLSearchParams();
  for (const name of ["severity", "workflow", "record_state"]) {
    // nothing ticked matches nothing, except severity, whose tiles narrow only when pressed
    const values = state[name].length || name === "severity" ? state[name] : ["-"];
    values.forEach((value) => query.append(name, value));
  }
  for (const name of Object.keys(CHOICES)) if (state[name]) query.append(name, state[name]);
  for (const name of ["text", "sort", "order"]) query.append(name, state[name]);
  return query;
}

async function load({ top = false } = {}) {
  const turn = ++latest;
  const query = question();
  byId("export").href = `/_page/export?${query}`;
  for (const name of ["start", "size"]) query.append(name, state[name]);
  const fresh = await ask(`/_page/findings?${query}`);
  if (turn !== latest) return; // a later question is on its way
  if (fresh.start > 0 && fresh.start >= fresh.total) {
    change({ start: Math.max(0, Math.floor((fresh.total - 1) / state.size) * state.size) });
    return;
  }
  answer = fresh;
  version = fresh.version;
  render();
  if (top) byId("scroll").scrollTop = 0;
  await detail.refresh();
}

function render() {
  const { rows, total, stored, severities, start } = answer;
  setText(byId("summary"), `${plural(total, "finding")} shown of ${number(stored)}`);
  renderTiles(severities);
  for (const [name, values] of Object.entries(CHOICES)) options(byId(name), answer[values], state[name]);
  for (const row of rows) if (selected.has(keyOf(row))) selected.set(keyOf(row), row);
  mark(rows);
  setText(byId("place"), total ? `${number(start + 1)}–${number(start + rows.length)} of ${number(total)}` : "0 of 0");
  byId("previous").disabled = start === 0;
  byId("next").disabled = start + rows.length >= total;
  renderEmpty(total, stored);
}

function renderTiles(severities) {
  const list = byId("severities");
  if (!list.children.length) {
    for (const label of SEVERITIES) {
      const press = () => change({
        severity: state.severity.includes(label) ? state.severity.filter((s) => s !== label) : [...state.severity, label],
      });
      list.append(el("li", {}, el("button", { type: "button", class: `tile ${label.toLowerCase()}`, onclick: press },
        severity(label), el("span", { class: "count" }))));
    }
  }
  SEVERITIES.forEach((label, index) => {
    const tile = list.children[index].firstChild;
    setText(tile.querySelector(".count"), number(severities[label]));
    tile.setAttribute("aria-pressed", String(state.severity.includes(label)));
    tile.setAttribute("aria-label", `${word(label)}: ${plural(severities[label], "finding")}. Show only these`);
  });
}

function renderEmpty(total, stored) {
  const empty = byId("empty");
  empty.hidden = total > 0;
  byId("table").hidden = total === 0;
  if (total > 0) return;
  empty.replaceChildren(...(stored
    ? [el("p", {}, "No finding matches these filters."),
      el("button", { type: "button", onclick: reset }, "Reset filters")]
    : [el("p", {}, "Nothing has been imported yet."),
      el("p", {}, "Point an SDK here: ", el("code", {}, `AWS_ENDPOINT_URL=${location.origin}`))]));
}

function options(select, values, chosen) {
  const wanted = ["", ...new Set(chosen ? [...values, chosen] : values)];
  if (String(wanted) !== String([...select.options].map((option) => option.value))) {
    select.replaceChildren(...wanted.map((value) => el("option", { value }, value ? short(value) : "All")));
  }
  select.value = chosen;
}

function choose(row, on) {
  if (on) selected.set(keyOf(row), row);
  else selected.delete(keyOf(row));
}

function mark(rows = answer?.rows ?? []) {
  table.show(rows, { sort: state.sort, order: state.order, selected, open: detail.key });
  setText(byId("selected"), selected.size ? `${plural(selected.size, "finding")} selected` : "None selected");
  document.querySelector(".actions").classList.toggle("any", selected.size > 0);
  for (const button of document.querySelectorAll(".actions button")) button.disabled = selected.size === 0;
}

async function act(rows, values) {
  const findings = rows.map(({ account, region, arn, id }) => ({ account, region, arn, id }));
  try {
    const { processed, unprocessed } = await ask("/_page/update", { findings, values });
    const what = values.Workflow ? `set to ${word(values.Workflow.Status)}` : "noted";
    say(`${plural(processed, "finding")} ${what}${unprocessed ? `, ${number(unprocessed)} failed` : ""}.`);
    rows.forEach((row) => selected.delete(keyOf(row)));
  } catch (error) {
    say(`That did not work: ${error.message}`);
  }
  await load();
}

// Suppressing hides findings for as long as they exist: of several at once it is said why, and the note says it too.
function workflow(rows, status) {
  if (status === "SUPPRESSED" && rows.length > 1) return note(rows, { Workflow: { Status: status } });
  return act(rows, { Workflow: { Status: status } });
}

function note(rows, values = {}) {
  const dialog = byId("note");
  const back = document.activeElement;
  const why = values.Workflow !== undefined;
  setText(byId("note-title"), why ? `Suppress ${plural(rows.length, "finding")}` : "Add a note");
  setText(byId("note-label"), why ? "Reason" : "Note");
  setText(byId("note-save"), why ? "Suppress" : "Save note");
  setText(byId("note-for"), rows.length === 1 ? rows[0].title : `For ${plural(rows.length, "finding")}.`);
  byId("note-text").value = "";
  dialog.showModal();
  byId("note-text").focus();
  byId("note-save").onclick = () => {
    const text = byId("note-text").value.trim();
    if (!text) return byId("note-text").focus();
    dialog.close();
    return act(rows, { ...values, Note: { Text: text, UpdatedBy: byId("note-by").value.trim() || "analyst" } });
  };
  byId("note-cancel").onclick = () => dialog.close();
  dialog.onclose = () => back?.focus();
}

let quiet;
function say(text) {
  setText(byId("said"), text);
  clearTimeout(quiet);
  quiet = setTimeout(() => setText(byId("said"), ""), 6000);
}

function reset() {
  byId("text").value = "";
  change({ ...DEFAULTS });
}

function ticks(id, values) {
  for (const value of values) {
    const box = el("input", { type: "checkbox", value, onchange: () => change({
      [id]: [...byId(id).querySelectorAll("input:checked")].map((input) => input.value),
    }) });
    byId(id).append(el("label", { class: "tick" }, box, word(value)));
  }
}

function controls() {
  for (const id of ["workflow", "record_state"]) {
    for (const input of byId(id).querySelectorAll("input")) input.checked = state[id].includes(input.value);
  }
  byId("size").value = String(state.size);
  byId("compact").checked = state.rows === "compact";
  byId("table").classList.toggle("compact", state.rows === "compact");
  if (document.activeElement !== byId("text")) byId("text").value = state.text;
}

function wire() {
  ticks("workflow", WORKFLOWS);
  ticks("record_state", STATES);
  let typing;
  byId("text").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => change({ text: byId("text").value }), 150);
  });
  for (const name of Object.keys(CHOICES)) {
    byId(name).addEventListener("change", (event) => change({ [name]: event.target.value }));
  }
  byId("compact").addEventListener("change", (event) => change({ rows: event.target.checked ? "compact" : "", start: state.start }));
  byId("size").addEventListener("change", (event) => change({ size: Number(event.target.value) }));
  byId("reset").addEventListener("click", reset);
  byId("fold").addEventListener("click", () => {
    const folded = byId("filters").classList.toggle("folded");
    byId("fold").setAttribute("aria-expanded", String(!folded));
  });
  byId("clear").addEventListener("click", () => { selected.clear(); mark(); });
  byId("previous").addEventListener("click", () => change({ start: Math.max(0, state.start - state.size) }));
  byId("next").addEventListener("click", () => change({ start: state.start + state.size }));
  for (const button of document.querySelectorAll("[data-workflow]")) {
    button.addEventListener("click", () => workflow([...selected.values()], button.dataset.workflow));
  }
  document.querySelector("[data-note]").addEventListener("click", () => note([...selected.values()]));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input, textarea, select")) return;
    event.preventDefault();
    byId("text").focus();
  });
}

function alive(on) {
  byId("live").classList.toggle("lost", !on);
  setText(byId("live-text"), on ? "live" : "no connection, trying again");
}

// The pause grows with what an answer costs, so that a page left open does not slow a server that is busy importing.
async function poll() {
  let pause = POLL_MILLISECONDS;
  try {
    const started = performance.now();
    if (!document.hidden && (await ask("/_page/version")).version !== version) await load();
    pause = Math.max(pause, (performance.now() - started) * 10);
    alive(true);
  } catch {
    alive(false);
  }
  setTimeout(poll, pause);
}

wire();
controls();
poll();
