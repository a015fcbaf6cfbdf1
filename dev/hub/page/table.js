// The table: one page of rows. A row element lives as long as its finding is on the page, so that focus, scroll position
// and a screen reader's place survive a refresh.

import { byId, el, pill, setText, severity, short, time } from "./dom.js";

const COLUMNS = [
  ["severity", "Severity"],
  ["title", "Title"],
  ["resource", "Resource"],
  ["cluster", "Cluster"],
  ["account", "Account"],
  ["workflow", "Workflow"],
  ["record_state", "Record"],
  ["first_seen", "First seen"],
  ["updated", "Updated"],
];
const FALLING = new Set(["severity", "first_seen", "updated"]); // most severe and newest first

export const keyOf = (row) => [row.account, row.region, row.arn, row.id].join("\n");

export class Table {
  // callbacks: open(row), select(row, on), selectPage(rows, on), sort(column, order)
  constructor(callbacks) {
    this.callbacks = callbacks;
    this.body = byId("rows");
    this.elements = new Map();
    this.rows = [];
    this.head();
    this.body.addEventListener("keydown", (event) => this.move(event));
  }

  head() {
    this.all = el("input", {
      type: "checkbox",
      "aria-label": "Select all findings of this page",
      onchange: () => this.callbacks.selectPage(this.rows, this.all.checked),
    });
    this.headers = new Map();
    byId("head").append(el("th", { scope: "col", class: "check" }, this.all));
    for (const [name, title] of COLUMNS) {
      const mark = el("span", { "aria-hidden": "true", class: "mark" });
      const button = el("button", { type: "button", onclick: () => this.sortBy(name) }, title, mark);
      const cell = el("th", { scope: "col", class: `c-${name}` }, button);
      this.headers.set(name, { cell, mark });
      byId("head").append(cell);
    }
  }

  sortBy(name) {
    const first = FALLING.has(name) ? "desc" : "asc";
    const other = first === "desc" ? "asc" : "desc";
    this.callbacks.sort(name, this.sort === name && this.order === first ? other : first);
  }

  show(rows, { sort, order, selected, open }) {
    this.rows = rows;
    this.sort = sort;
    this.order = order;
    for (const [name, { cell, mark }] of this.headers) {
      if (name === sort) cell.setAttribute("aria-sort", order === "asc" ? "ascending" : "descending");
      else cell.removeAttribute("aria-sort");
      setText(mark, name === sort ? (order === "asc" ? " ↑" : " ↓") : "");
    }
    const wanted = new Set(rows.map(keyOf));
    const focused = this.body.contains(document.activeElement) ? document.activeElement.closest("tr") : null;
    const position = focused ? [...this.body.children].indexOf(focused) : -1;
    for (const [key, element] of this.elements) {
      if (!wanted.has(key)) {
        element.remove();
        this.elements.delete(key);
      }
    }
    rows.forEach((row, index) => this.place(row, index));
    this.mark(selected, open);
    if (focused && !focused.isConnected) this.focusRow(Math.min(position, rows.length - 1));
  }

  place(row, index) {
    const key = keyOf(row);
    const known = this.elements.get(key);
    let element = known;
    if (!known) {
      element = this.build(row);
    } else if (known.version !== row.version) {
      const inner = known.contains(document.activeElement) ? document.activeElement.className : null;
      element = this.build(row);
      element.classList.add("changed");
      known.replaceWith(element);
      if (inner !== null) element.querySelector(`.${inner.split(" ")[0]}`)?.focus({ preventScroll: true });
    }
    this.elements.set(key, element);
    if (this.body.children[index] !== element) this.body.insertBefore(element, this.body.children[index] ?? null);
  }

  build(row) {
    const box = el("input", {
      type: "checkbox",
      class: "pick",
      "aria-label": `Select: ${row.title}`,
      onchange: () => this.callbacks.select(row, box.checked),
    });
    const title = el("button", { type: "button", class: "open", onclick: () => this.callbacks.open(row) }, row.title);
    const element = el("tr", {},
      el("td", { class: "check" }, box),
      el("td", { class: "c-severity" }, severity(row.severity)),
      el("td", { class: "c-title" }, title, el("span", { class: "sub" }, row.resource)),
      el("td", { class: "c-resource", title: row.resource }, el("span", { class: "clamp" }, row.resource)),
      el("td", { class: "c-cluster", title: row.cluster }, el("span", { class: "clamp" }, short(row.cluster))),
      el("td", { class: "c-account" }, row.account, el("span", { class: "region" }, row.region)),
      el("td", { class: "c-workflow" }, pill(row.workflow)),
      el("td", { class: "c-record_state" }, pill(row.record_state)),
      el("td", { class: "c-first_seen" }, time(row.first_seen)),
      el("td", { class: "c-updated" }, time(row.updated)));
    element.version = row.version;
    return element;
  }

  mark(selected, open) {
    let chosen = 0;
    for (const [key, element] of this.elements) {
      const on = selected.has(key);
      chosen += on;
      element.querySelector(".pick").checked = on;
      element.classList.toggle("selected", on);
      element.classList.toggle("current", key === open);
      element.querySelector(".open").setAttribute("aria-expanded", String(key === open));
    }
    this.all.checked = chosen > 0 && chosen === this.rows.length;
    this.all.indeterminate = chosen > 0 && chosen < this.rows.length;
  }

  focusRow(index) {
    this.body.children[index]?.querySelector(".open")?.focus();
  }

  focusKey(key) {
    this.elements.get(key)?.querySelector(".open")?.focus();
  }

  // Arrow keys go from row to row in the column that has the focus; Home and End to the first and last row.
  move(event) {
    const row = event.target.closest("tr");
    const rows = [...this.body.children];
    const at = rows.indexOf(row);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to === undefined || !rows[to]) return;
    event.preventDefault();
    const column = event.target.classList.contains("pick") ? ".pick" : ".open";
    rows[to].querySelector(column).focus();
  }
}
