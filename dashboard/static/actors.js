// All actors by namespace. The first screen is drawn at once, the rest while the browser is idle.

import { age, badge, el, short, sparkline } from "./dom.js";
import { keyOf, listen, state } from "./live.js";

const FIRST = 40;
const THEN = 60;
const TONES = [["wrong", "Wrong"], ["moving", "Moving"], ["good", "Well"], ["rest", "At rest"], ["unknown", "Not seen yet"]];
const chosen = { text: "", tone: "", namespace: "" };
const soon = window.requestIdleCallback || ((work) => setTimeout(work, 16));

const compare = (a, b) => (a.ns < b.ns ? -1 : a.ns > b.ns ? 1 : a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
const isShown = (row) => (!chosen.tone || row.tone === chosen.tone)
  && (!chosen.namespace || row.ns === chosen.namespace)
  && (!chosen.text || `${row.ns}/${row.name} ${row.queue} ${row.phase} ${row.reason}`.toLowerCase().includes(chosen.text));

function queueCell(row) {
  const lengths = state.lengths.get(keyOf(row)) || [];
  const number = row.length !== null ? short(row.length) : row.active ? "some" : "–";
  return el("span", { role: "cell", class: "queue", "data-unknown": row.length === null },
    el("span", { class: "length", title: row.length === null ? "The length of the queue is not known" : "Messages in the queue" }, number),
    sparkline(lengths));
}

function drawRow(row) {
  const key = keyOf(row);
  const path = `#/actor/${encodeURIComponent(row.ns)}/${encodeURIComponent(row.name)}`;
  return el("div", { role: "row", class: "row", "data-key": key, "data-tone": row.tone },
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

function head() {
  return el("div", { role: "row", class: "row titles" },
    ...["Actor", "Phase", "Pods", "Queue, last 10 minutes", "Consumes", "What is wrong"].map((text) =>
      el("span", { role: "columnheader" }, text)));
}

/** Show the view in `place`; what to do when it is left. */
export function actorsView(place) {
  let pass = 0;
  const drawn = new Map();
  const sections = new Map();
  const list = el("div", { class: "list" });
  const chips = el("div", { class: "chips", role: "group", "aria-label": "Show by state" });
  const search = el("input", {
    id: "search", type: "search", placeholder: "Find an actor ( / )", "aria-label": "Find an actor by name, queue or phase",
    value: chosen.text, oninput: () => { chosen.text = search.value.trim().toLowerCase(); drawAll(); },
    onkeydown: (event) => { if (event.key === "Escape") { search.value = ""; chosen.text = ""; drawAll(); } },
  });
  const spaces = el("select", { "aria-label": "Namespace", onchange: () => { chosen.namespace = spaces.value; drawAll(); } });
  place.append(el("div", { class: "bar" }, el("h1", { tabindex: -1 }, "Actors"), chips, spaces, search), list);

  function drawBar() {
    const counts = {};
    const names = new Set();
    for (const row of state.rows.values()) {
      counts[row.tone] = (counts[row.tone] || 0) + 1;
      names.add(row.ns);
    }
    const wanted = [["", "All", state.rows.size], ...TONES.filter(([tone]) => counts[tone]).map(([tone, text]) => [tone, text, counts[tone]])];
    const focused = document.activeElement && document.activeElement.dataset.tone;
    chips.replaceChildren(...wanted.map(([tone, text, count]) => el("button", {
      type: "button", class: `chip ${tone}`, "data-tone": tone, "aria-pressed": String(chosen.tone === tone),
      onclick: () => { chosen.tone = chosen.tone === tone ? "" : tone; drawAll(); },
    }, `${text} `, el("b", {}, String(count)))));
    if (focused !== undefined) {
      const again = [...chips.children].find((chip) => chip.dataset.tone === focused);
      if (again) again.focus();
    }
    const listed = [...names].sort();
    if (spaces.dataset.names !== listed.join(" ")) {
      spaces.dataset.names = listed.join(" ");
      spaces.replaceChildren(el("option", { value: "" }, "All namespaces"),
        ...listed.map((name) => el("option", { value: name, selected: name === chosen.namespace }, name)));
    }
    spaces.hidden = listed.length < 2;
  }

  /** The section of a namespace, made in its place if there is none. */
  function sectionOf(namespace) {
    let found = sections.get(namespace);
    if (found) return found;
    const count = el("small", {});
    const table = el("div", { role: "table", class: "table", "aria-label": `Actors of ${namespace}` }, head());
    const whole = el("section", { class: "space" }, el("h2", {}, namespace, count), table);
    found = { count, table, whole };
    const after = [...sections.keys()].filter((name) => name > namespace).sort()[0];
    list.insertBefore(whole, after === undefined ? null : sections.get(after).whole);
    sections.set(namespace, found);
    return found;
  }

  function drawCounts() {
    const counts = {};
    for (const row of state.rows.values()) if (isShown(row)) counts[row.ns] = (counts[row.ns] || 0) + 1;
    for (const [namespace, { count, table }] of sections) {
      count.textContent = ` ${counts[namespace] || 0}`;
      table.setAttribute("aria-rowcount", (counts[namespace] || 0) + 1);
    }
  }

  function drawAll() {
    pass += 1;
    const mine = pass;
    drawn.clear();
    sections.clear();
    list.replaceChildren();
    delete list.dataset.complete;
    drawBar();
    const rows = [...state.rows.values()].filter(isShown).sort(compare);
    if (!rows.length) {
      list.append(el("p", { class: "empty" }, state.rows.size ? "No actor is like that." : "There are no actors here yet."));
    }
    let next = 0;
    const some = (most) => {
      if (mine !== pass) return;
      for (const end = Math.min(rows.length, next + most); next < end; next += 1) {
        const row = state.rows.get(keyOf(rows[next]));
        if (!row) continue;
        const made = drawRow(row);
        drawn.set(keyOf(row), made);
        sectionOf(row.ns).table.append(made);
      }
      if (next < rows.length) soon(() => some(THEN));
      else list.dataset.complete = "true";
    };
    some(FIRST);
    drawCounts();
    if (!actorsView.painted) {
      actorsView.painted = true;
      requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("actors-shown")));
    }
  }

  function remove(key) {
    const made = drawn.get(key);
    if (!made) return;
    drawn.delete(key);
    made.remove();
    const namespace = key.split("/")[0];
    const { table, whole } = sections.get(namespace);
    if (table.children.length > 1) return;
    sections.delete(namespace);
    whole.remove();
  }

  function put(row) {
    const key = keyOf(row);
    const made = drawRow(row);
    const before = drawn.get(key);
    if (before) {
      const focused = before.contains(document.activeElement);
      before.replaceWith(made);
      if (focused) made.querySelector("a").focus();
    } else {
      const { table } = sectionOf(row.ns);
      const after = [...table.children].find((other) => other.dataset.key > key);
      table.insertBefore(made, after || null);
    }
    drawn.set(key, made);
  }

  function heard(changed, kind) {
    if (kind === "link") return;
    if (kind === "tick") {
      for (const [key, made] of drawn) {
        const row = state.rows.get(key);
        if (row && state.lengths.has(key)) made.querySelector(".queue").replaceWith(queueCell(row));
      }
      return;
    }
    if (kind === "snapshot" || !list.dataset.complete || !drawn.size) return drawAll();
    for (const key of changed) {
      const row = state.rows.get(key);
      if (row && isShown(row)) put(row);
      else remove(key);
    }
    if (!drawn.size) return drawAll();
    drawBar();
    drawCounts();
  }

  drawAll();
  return listen(heard);
}
