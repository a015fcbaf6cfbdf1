// The detail view of one finding: a summary a person reads, what happened to it, and the whole ASFF document.

import { ask, byId, el, pill, severity, time, word } from "./dom.js";
import { keyOf } from "./table.js";

const OUTCOMES = {
  created: "Created",
  changed: "Changed",
  redundant: "Sent again, nothing new",
  ignored: "Ignored",
  failed: "Refused",
  reactivated: "Came back",
  archived: "Archived",
  updated: "Analyst",
  lost: "No answer",
};

export class Detail {
  // callbacks: act(rows, values), note(rows), closed(key)
  constructor(callbacks) {
    this.callbacks = callbacks;
    this.panel = byId("detail");
    this.key = null;
    this.panel.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
  }

  async open(row) {
    this.key = keyOf(row);
    this.shown = null;
    await this.refresh(row);
    this.panel.scrollTop = 0;
    this.panel.querySelector("h2")?.focus();
  }

  close() {
    const key = this.key;
    this.key = null;
    this.panel.hidden = true;
    byId("work").classList.remove("with-detail");
    this.callbacks.closed(key);
  }

  // Fetches again and renders only what is new, so that reading is not disturbed.
  async refresh(row = this.row) {
    if (this.key === null) return;
    const key = this.key;
    const query = new URLSearchParams({ account: row.account, region: row.region, arn: row.arn, id: row.id });
    let answer;
    try {
      answer = await ask(`/_page/finding?${query}`);
    } catch {
      if (this.key === key) this.close();
      return;
    }
    if (this.key !== key) return;
    this.row = row;
    const state = JSON.stringify([answer.row.version, answer.history.length]);
    if (state === this.shown) return;
    this.shown = state;
    this.render(answer);
  }

  render({ row, finding, customer_changed: customer, history }) {
    const top = this.panel.scrollTop;
    const opened = this.panel.querySelector("details.json")?.open ?? false;
    const focused = this.panel.contains(document.activeElement) ? document.activeElement.textContent : null;
    const json = JSON.stringify(finding, null, 2);
    const parts = [
      el("div", { class: "detail-head" },
        severity(row.severity), pill(row.workflow), pill(row.record_state),
        el("button", { type: "button", class: "plain close", onclick: () => this.close() }, "Close")),
      el("h2", { tabindex: "-1" }, row.title),
      el("p", { class: "description" }, finding.Description),
      this.remediation(finding),
      this.buttons(row),
      this.facts(row, finding, customer),
      this.note(finding),
      el("h3", {}, "Resources"),
      el("ul", { class: "resources" }, finding.Resources.map(resource)),
      el("h3", {}, "History"),
      el("ol", { class: "history" }, [...history].reverse().map(event)),
      el("details", { class: "json", open: opened },
        el("summary", {}, "ASFF document"),
        el("button", { type: "button", class: "plain", onclick: (click) => copy(click.target, json) }, "Copy JSON"),
        el("pre", { tabindex: "0", "aria-label": "ASFF document" }, json)),
    ];
    this.panel.replaceChildren(...parts.filter((part) => part !== null));
    this.panel.hidden = false;
    byId("work").classList.add("with-detail");
    this.panel.scrollTop = top;
    if (focused !== null) {
      const again = [...this.panel.querySelectorAll("button, h2, summary")].find((e) => e.textContent === focused);
      (again ?? this.panel).focus({ preventScroll: true });
    }
  }

  buttons(row) {
    const change = (status, text) => el("button", {
      type: "button",
      disabled: row.workflow === status,
      onclick: () => this.callbacks.act([row], { Workflow: { Status: status } }),
    }, text);
    return el("div", { class: "buttons", role: "toolbar", "aria-label": "Act on this finding" },
      change("SUPPRESSED", "Suppress"), change("NOTIFIED", "Notify"), change("RESOLVED", "Resolve"), change("NEW", "Reopen"),
      el("button", { type: "button", onclick: () => this.callbacks.note([row]) }, "Add note…"));
  }

  remediation(finding) {
    const { Text: text, Url: url } = finding.Remediation?.Recommendation ?? {};
    if (!text && !url) return null;
    return el("p", { class: "remediation" }, el("strong", {}, "What to do: "), text ?? "", text && url ? " " : "", link(url));
  }

  facts(row, finding, customer) {
    const lines = [
      ["Cluster", row.cluster || "–"],
      ["Account", `${row.account} · ${row.region}`],
      ["Compliance", finding.Compliance?.Status ? word(finding.Compliance.Status.replace("_", " ")) : "–"],
      ["Product", finding.ProductName ?? "–"],
      ["Generator", finding.GeneratorId],
      ["Types", (finding.Types ?? []).join(", ") || "–"],
      ["First seen", time(row.first_seen)],
      ["Updated", time(row.updated)],
      ["Processed", time(finding.ProcessedAt)],
      ["Id", finding.Id],
      customer.length ? ["Set by a customer", customer.join(", ")] : null,
    ].filter(Boolean);
    return el("dl", { class: "facts" }, lines.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  }

  note(finding) {
    if (!finding.Note) return null;
    return el("blockquote", { class: "note" }, el("p", {}, finding.Note.Text),
      el("footer", {}, `${finding.Note.UpdatedBy}, `, time(finding.Note.UpdatedAt)));
  }
}

function resource({ Type: type, Id: id, Details: details }) {
  const other = Object.entries(details?.Other ?? {});
  return el("li", {}, el("span", { class: "type" }, type), " ", el("code", {}, id),
    other.length
      ? el("dl", { class: "facts" }, other.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]))
      : null);
}

function event({ time: seconds, outcome, detail, redundant }) {
  const extra = detail || (redundant && outcome === "ignored" ? "same content" : "");
  return el("li", {}, time(new Date(seconds * 1000).toISOString()), " ",
    el("strong", {}, OUTCOMES[outcome] ?? outcome), extra ? ` – ${extra}` : "");
}

// Only web addresses become links: a finding may say `javascript:…`.
function link(url) {
  if (!url) return null;
  if (!/^https?:\/\//i.test(url)) return el("code", {}, url);
  return el("a", { href: url, rel: "noreferrer noopener", target: "_blank" }, url);
}

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select the text below to copy it";
  }
}
