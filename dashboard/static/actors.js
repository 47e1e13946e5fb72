// All actors by namespace. The first rows are drawn at once, the others while the browser is idle.

import { age, badge, el, short, sparkline } from "./dom.js";
import { keyOf, listen, state } from "./live.js";

const FIRST = 40;
const THEN = 60;
const TONES = [["wrong", "Wrong"], ["moving", "Moving"], ["good", "Well"], ["rest", "At rest"], ["unknown", "Not processed yet"]];
const COLUMNS = ["Actor", "Phase", "Pods", "Queue, last 10 minutes", "Consumes", "What is wrong"];
const chosen = { text: "", tone: "", namespace: "" };
const soon = window.requestIdleCallback || ((work) => setTimeout(work, 16));

const compare = (a, b) => (a.ns < b.ns ? -1 : a.ns > b.ns ? 1 : a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
const isShown = (row) => (!chosen.tone || row.tone === chosen.tone)
  && (!chosen.namespace || row.ns === chosen.namespace)
  && (!chosen.text || `${row.ns}/${row.name} ${row.queue} ${row.phase} ${row.reason}`.toLowerCase().includes(chosen.text));

function queueCell(row) {
  const lengths = state.lengths.get(keyOf(row)) || [];
  const number = row.length !== null ? short(row.length) : row.active ? "some" : "–";
  return el("span", { role: "cell", class: "queue" },
    el("span", { class: "length", title: row.length === null ? "The length of the queue is unknown" : "Messages in the queue" }, number),
    sparkline(lengths));
}

function drawRow(row) {
  const path = `#/actor/${encodeURIComponent(row.ns)}/${encodeURIComponent(row.name)}`;
  return el("div", { role: "row", class: "row", "data-key": keyOf(row), "data-tone": row.tone },
    el("span", { role: "cell", class: "name" },
      el("a", { href: path }, row.name),
      el("small", {}, `${row.kind} · ${age(row.created)}`)),
    el("span", { role: "cell", class: "phase" }, badge(row)),
    el("span", { role: "cell", class: "pods", title: `${row.ready} of ${row.desired} pods are ready; scale ${row.scale}` },
      `${row.ready}/${row.desired}`, el("span", { class: "only-narrow" }, " pods")),
    queueCell(row),
    el("span", { role: "cell", class: "where" }, row.queue, el("small", {}, row.transport)),
    el("span", { role: "cell", class: "problem", title: row.message },
      row.message && el("b", {}, row.reason), row.message && ` ${row.message}`));
}

const titles = () => el("div", { role: "row", class: "row titles" }, COLUMNS.map((text) => el("span", { role: "columnheader" }, text)));

/** The filters: chips for states, the namespace, the search field. Calls `changed` after each change of a filter. */
class Bar {
  constructor(changed) {
    this.changed = changed;
    this.chips = el("div", { class: "chips", role: "group", "aria-label": "Show by state" });
    this.search = el("input", {
      id: "search", type: "search", placeholder: "Find an actor ( / )", "aria-label": "Find an actor by name, queue or phase",
      value: chosen.text, oninput: () => this.find(this.search.value),
      onkeydown: (event) => { if (event.key === "Escape") this.find(""); },
    });
    this.spaces = el("select", { "aria-label": "Namespace", onchange: () => { chosen.namespace = this.spaces.value; changed(); } });
    this.element = el("div", { class: "bar" }, el("h1", { tabindex: -1 }, "Actors"), this.chips, this.spaces, this.search);
  }

  find(text) {
    if (!text) this.search.value = "";
    chosen.text = text.trim().toLowerCase();
    this.changed();
  }

  draw() {
    const counts = { "": state.rows.size };
    for (const row of state.rows.values()) counts[row.tone] = (counts[row.tone] || 0) + 1;
    const focused = this.chips.contains(document.activeElement) ? document.activeElement.dataset.tone : null;
    this.chips.replaceChildren(...[["", "All"], ...TONES.filter(([tone]) => counts[tone])].map(([tone, text]) => el("button", {
      type: "button", class: `chip ${tone}`, "data-tone": tone, "aria-pressed": String(chosen.tone === tone),
      onclick: () => { chosen.tone = chosen.tone === tone ? "" : tone; this.changed(); },
    }, `${text} `, el("b", {}, String(counts[tone])))));
    const same = [...this.chips.children].find((chip) => chip.dataset.tone === focused);
    if (same) same.focus();
    this.drawSpaces();
  }

  drawSpaces() {
    const names = [...new Set([...state.rows.values()].map((row) => row.ns))].sort();
    this.spaces.hidden = names.length < 2;
    if (this.names === names.join(" ")) return;
    this.names = names.join(" ");
    this.spaces.replaceChildren(el("option", { value: "" }, "All namespaces"),
      ...names.map((name) => el("option", { value: name, selected: name === chosen.namespace }, name)));
  }
}

/** The drawn rows, with one section per namespace. */
class List {
  constructor() {
    this.element = el("div", { class: "list" });
    this.drawn = new Map();
    this.sections = new Map();
    this.pass = 0;
  }

  get isComplete() { return Boolean(this.element.dataset.complete) && this.drawn.size > 0; }

  /** Draw all rows again: the first ones at once, the others when the browser is idle. */
  drawAll() {
    this.pass += 1;
    this.drawn.clear();
    this.sections.clear();
    this.element.replaceChildren();
    delete this.element.dataset.complete;
    const rows = [...state.rows.values()].filter(isShown).sort(compare);
    if (!rows.length) {
      this.element.append(el("p", { class: "empty" }, state.rows.size ? "No actor matches." : "There are no actors yet."));
    }
    this.drawSome(rows, 0, FIRST, this.pass);
    this.drawCounts();
  }

  drawSome(rows, first, most, pass) {
    if (pass !== this.pass) return;
    for (const { ns, name } of rows.slice(first, first + most)) {
      const row = state.rows.get(`${ns}/${name}`);
      if (!row) continue;
      const made = drawRow(row);
      this.drawn.set(keyOf(row), made);
      this.sectionOf(ns).table.append(made);
    }
    if (first + most < rows.length) soon(() => this.drawSome(rows, first + most, THEN, pass));
    else this.element.dataset.complete = "true";
  }

  /** The section of a namespace, which is created in its place if it does not exist. */
  sectionOf(namespace) {
    if (this.sections.has(namespace)) return this.sections.get(namespace);
    const count = el("small", {});
    const table = el("div", { role: "table", class: "table", "aria-label": `Actors of ${namespace}` }, titles());
    const made = { count, table, whole: el("section", { class: "space" }, el("h2", {}, namespace, count), table) };
    const after = [...this.sections.keys()].filter((name) => name > namespace).sort()[0];
    this.element.insertBefore(made.whole, after === undefined ? null : this.sections.get(after).whole);
    this.sections.set(namespace, made);
    return made;
  }

  drawCounts() {
    const counts = {};
    for (const row of state.rows.values()) if (isShown(row)) counts[row.ns] = (counts[row.ns] || 0) + 1;
    for (const [namespace, { count, table }] of this.sections) {
      count.textContent = ` ${counts[namespace] || 0}`;
      table.setAttribute("aria-rowcount", (counts[namespace] || 0) + 1);
    }
  }

  /** Draw one row: replace the old one, or insert it in its order. */
  put(row) {
    const key = keyOf(row);
    const made = drawRow(row);
    const before = this.drawn.get(key);
    if (before) {
      const focused = before.contains(document.activeElement);
      before.replaceWith(made);
      if (focused) made.querySelector("a").focus();
    } else {
      const { table } = this.sectionOf(row.ns);
      table.insertBefore(made, [...table.children].find((other) => other.dataset.key > key) || null);
    }
    this.drawn.set(key, made);
  }

  remove(key) {
    const made = this.drawn.get(key);
    if (!made) return;
    this.drawn.delete(key);
    made.remove();
    const namespace = key.split("/")[0];
    const { table, whole } = this.sections.get(namespace);
    if (table.children.length > 1) return;
    this.sections.delete(namespace);
    whole.remove();
  }

  /** Draw the lengths of queues again after a sample. */
  tick() {
    for (const [key, made] of this.drawn) {
      const row = state.rows.get(key);
      if (row && state.lengths.has(key)) made.querySelector(".queue").replaceWith(queueCell(row));
    }
  }
}

/** Show all actors in `place`. Returns a function that closes the view. */
export function actorsView(place) {
  const list = new List();
  const bar = new Bar(() => drawAll());

  function drawAll() {
    bar.draw();
    list.drawAll();
  }

  function update(changed, kind) {
    if (kind === "link") return;
    if (kind === "tick") { list.tick(); return; }
    if (kind === "snapshot" || !list.isComplete) { drawAll(); return; }
    for (const key of changed) {
      const row = state.rows.get(key);
      if (row && isShown(row)) list.put(row);
      else list.remove(key);
    }
    if (!list.drawn.size) { drawAll(); return; }
    bar.draw();
    list.drawCounts();
  }

  place.append(bar.element, list.element);
  drawAll();
  if (!performance.getEntriesByName("actors-shown").length) {
    requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("actors-shown")));
  }
  return listen(update);
}
