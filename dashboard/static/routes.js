// The graph of routes from the sidecars' metrics, and the same data as a table.

import { el, rate, short, svg } from "./dom.js";
import { ask, state } from "./live.js";

const REFRESH = 5000;
const BOX = { width: 160, height: 46, across: 92, down: 20, edge: 16, bend: 14 };
const LEAST = 0.72;
const chosen = { namespace: "" };

const label = (id) => (id.startsWith("queue:") ? id.slice(6) : id.slice(id.indexOf("/") + 1));
const space = (id) => (id.startsWith("queue:") ? "a queue without an actor" : id.slice(0, id.indexOf("/")));
const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const shownRate = (edge) => (edge.rate === null ? "…" : edge.rate > 0 ? rate(edge.rate) : "idle");

const isBend = (id) => id.startsWith("bend:");
const tall = (id) => (isBend(id) ? BOX.bend : BOX.height);

function places(graph) {
  const back = graph.edges.filter((edge) => edge.back).length;
  const left = back ? 2.5 * BOX.edge : BOX.edge;
  const heights = graph.layers.map((layer) => layer.reduce((sum, id) => sum + tall(id) + BOX.down, -BOX.down));
  const height = Math.max(...heights);
  const spots = new Map();
  graph.layers.forEach((layer, n) => {
    let y = BOX.edge + (height - heights[n]) / 2;
    for (const id of layer) {
      spots.set(id, { x: left + n * (BOX.width + BOX.across), y, middle: y + tall(id) / 2 });
      y += tall(id) + BOX.down;
    }
  });
  return { spots, below: BOX.edge + height, height: height + 2 * BOX.edge + back * 26, width: graph.layers.length * (BOX.width + BOX.across) - BOX.across + 2 * left };
}

/** The path of an edge: from left to right through its bends. An edge that goes back runs below all nodes. */
function line(edge, spots, below) {
  const from = spots.get(edge.from);
  const to = spots.get(edge.to);
  const start = [from.x + BOX.width, from.middle];
  const end = [to.x - 1, to.middle];
  if (edge.back) {
    const d = `M${start}c34,0 34,${below - start[1]} 0,${below - start[1]}L${end[0]},${below}c-34,0 -34,${end[1] - below} 0,${end[1] - below}`;
    return { d, middle: [(start[0] + end[0]) / 2, below] };
  }
  const points = [start];
  for (const bend of edge.via) {
    const { x, middle } = spots.get(bend);
    points.push([x, middle], [x + BOX.width, middle]);
  }
  points.push(end);
  let d = `M${start}`;
  for (let n = 1; n < points.length; n += 1) {
    const [[x1, y1], [x2, y2]] = [points[n - 1], points[n]];
    d += n % 2 ? `C${(x1 + x2) / 2},${y1} ${(x1 + x2) / 2},${y2} ${x2},${y2}` : `L${x2},${y2}`;
  }
  const last = edge.via.length ? points.length - 3 : 0;
  return { d, middle: [(points[last][0] + points[last + 1][0]) / 2, (points[last][1] + points[last + 1][1]) / 2] };
}

function drawEdge(edge, spots, fastest, below) {
  const { d, middle } = line(edge, spots, below);
  const width = edge.rate > 0 ? 1.5 + 3.5 * Math.sqrt(edge.rate / fastest) : 1.2;
  return svg("g", { class: edge.rate > 0 ? "edge" : "edge idle" },
    svg("path", { d, "stroke-width": width.toFixed(1), "marker-end": "url(#tip)" }),
    svg("text", { x: middle[0], y: middle[1] - 5 }, shownRate(edge)),
    svg("title", {}, `${label(edge.from)} sends to ${label(edge.to)}: ${shownRate(edge)}, ${short(edge.total)} in all`));
}

function drawNode(id, spots) {
  const { x, y } = spots.get(id);
  const row = state.rows.get(id);
  const box = [
    svg("rect", { x, y, width: BOX.width, height: BOX.height, rx: 9 }),
    row && svg("circle", { class: `dot ${row.tone}`, cx: x + 15, cy: y + 18, r: 4 }),
    svg("text", { class: "label", x: x + (row ? 26 : 14), y: y + 22 }, cut(label(id), row ? 18 : 20)),
    svg("text", { class: "under", x: x + 14, y: y + 37 }, cut(row ? `${space(id)} · ${row.ready}/${row.desired} pods` : space(id), 26)),
    svg("title", {}, id)];
  if (!row) return svg("g", { class: "node queue" }, box);
  const [namespace, name] = id.split("/");
  return svg("a", { class: "node", href: `#/actor/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`, "aria-label": `${name}, ${row.phase}` }, box);
}

function picture(graph) {
  const { spots, below, height, width } = places(graph);
  let back = below;
  const fastest = Math.max(...graph.edges.map((edge) => edge.rate), 0.001);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}` },
    svg("defs", {}, svg("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto" },
      svg("path", { d: "M0 0 8 4 0 8Z" }))),
    graph.edges.map((edge) => drawEdge(edge, spots, fastest, edge.back ? (back += 24) : 0)),
    graph.layers.flat().filter((id) => !isBend(id)).map((id) => drawNode(id, spots)));
  drawing.style.width = "100%";
  drawing.style.maxWidth = `${width}px`;
  drawing.style.minWidth = `${width * LEAST}px`;
  return el("div", { class: "graph", tabindex: 0, role: "region", "aria-label": "Graph of routes; the table below has the same data" }, drawing);
}

function table(graph) {
  return el("table", { class: "plain" }, el("caption", {}, "Who sends to whom"),
    el("thead", {}, el("tr", {}, ["From", "To", "Rate", "In all"].map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, graph.edges.map((edge) => el("tr", {},
      el("td", {}, label(edge.from), el("small", {}, ` ${space(edge.from)}`)), el("td", {}, label(edge.to), el("small", {}, ` ${space(edge.to)}`)),
      el("td", { class: "number" }, shownRate(edge)), el("td", { class: "number" }, short(edge.total))))));
}

function source(metrics) {
  if (!metrics.pods) return "";
  const answered = metrics.pods - metrics.failed;
  return `From the metrics of ${answered} of ${metrics.pods} sidecars, read every few seconds while this page is open. Totals count since the sidecars started.`;
}

/** Show the routes in `place`. Returns a function that closes the view. */
export function routesView(place) {
  let gone = false;
  let before = "";
  const note = el("p", { class: "note", role: "status" }, "Reading the sidecars' metrics …");
  const shown = el("div", {});
  const names = [...new Set([...state.rows.values()].map((row) => row.ns))].sort();
  if (chosen.namespace && !names.includes(chosen.namespace)) chosen.namespace = "";
  const spaces = el("select", { "aria-label": "Namespace", onchange: () => { chosen.namespace = spaces.value; before = ""; read(); } },
    el("option", { value: "" }, "All namespaces"),
    names.map((name) => el("option", { value: name, selected: name === chosen.namespace }, name)));
  place.append(el("div", { class: "bar" }, el("h1", { tabindex: -1 }, "Routes"), spaces), note, shown);

  async function read() {
    let graph;
    try {
      graph = await ask(`routes?namespace=${encodeURIComponent(chosen.namespace)}`);
    } catch (error) {
      note.textContent = error.message;
      return;
    }
    const text = JSON.stringify(graph);
    if (gone || text === before) return;
    before = text;
    const problem = graph.metrics.problem;
    note.className = problem ? "note notice" : "note";
    note.textContent = problem
      ? `${graph.metrics.pods > graph.metrics.failed ? `${source(graph.metrics)} ` : "No routes can be shown. "}${problem}`
      : source(graph.metrics) || "No pods with a sidecar run here, or their metrics are not read yet.";
    const focused = document.activeElement && document.activeElement.closest ? document.activeElement.closest("a.node") : null;
    const href = focused && focused.getAttribute("href");
    const scrolled = shown.querySelector(".graph") ? shown.querySelector(".graph").scrollLeft : 0;
    shown.replaceChildren(...(graph.edges.length
      ? [picture(graph), graph.more ? el("p", { class: "none" }, `Only the busiest routes are shown; ${graph.more} more exist.`) : "", table(graph)]
      : [el("p", { class: "empty" }, "The sidecars report no messages between actors yet.")]));
    const drawn = shown.querySelector(".graph");
    if (drawn) drawn.scrollLeft = scrolled;
    if (href) {
      const same = [...shown.querySelectorAll("a.node")].find((node) => node.getAttribute("href") === href);
      if (same) same.focus({ preventScroll: true });
    }
  }

  read();
  const early = setTimeout(read, 2000);
  const timer = setInterval(() => { if (!document.hidden) read(); }, REFRESH);
  return () => { gone = true; clearInterval(timer); clearTimeout(early); };
}
