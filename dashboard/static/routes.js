// The graph of routes as they were seen, and the same as a table.

import { el, rate, short, svg } from "./dom.js";
import { ask, state } from "./live.js";

const REFRESH = 5000;
const BOX = { width: 168, height: 46, across: 110, down: 22, edge: 16 };
const chosen = { namespace: "" };

const label = (id) => (id.startsWith("queue:") ? id.slice(6) : id.slice(id.indexOf("/") + 1));
const space = (id) => (id.startsWith("queue:") ? "a queue without an actor" : id.slice(0, id.indexOf("/")));
const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const shownRate = (edge) => (edge.rate > 0 ? rate(edge.rate) : "idle");

function places(graph) {
  const layers = [];
  for (const node of graph.nodes) (layers[node.layer] = layers[node.layer] || []).push(node);
  const tallest = Math.max(...layers.map((layer) => layer.length));
  const height = tallest * (BOX.height + BOX.down) - BOX.down + 2 * BOX.edge;
  const found = new Map();
  layers.forEach((layer, n) => {
    const tall = layer.length * (BOX.height + BOX.down) - BOX.down;
    layer.forEach((node, place) => found.set(node.id, {
      x: BOX.edge + n * (BOX.width + BOX.across), y: (height - tall) / 2 + place * (BOX.height + BOX.down),
    }));
  });
  return { found, height: height + BOX.down, width: layers.length * (BOX.width + BOX.across) - BOX.across + 2 * BOX.edge };
}

function drawEdge(edge, found, fastest) {
  const from = found.get(edge.from);
  const to = found.get(edge.to);
  const [x1, y1] = [from.x + BOX.width, from.y + BOX.height / 2];
  const [x2, y2] = [to.x - 2, to.y + BOX.height / 2];
  const back = to.x <= from.x;
  const bend = back ? 60 : (x2 - x1) / 2;
  const lift = back ? BOX.height : 0;
  const d = back
    ? `M${x1},${y1}C${x1 + bend},${y1 + lift} ${x2 - bend},${y2 + lift} ${x2},${y2}`
    : `M${x1},${y1}C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`;
  const width = edge.rate > 0 ? 1.5 + 3.5 * Math.sqrt(edge.rate / fastest) : 1.2;
  return svg("g", { class: edge.rate > 0 ? "edge" : "edge idle" },
    svg("path", { d, "stroke-width": width.toFixed(1), "marker-end": "url(#tip)" }),
    svg("text", { x: (x1 + x2) / 2, y: (y1 + y2) / 2 + (back ? lift * 0.75 : 0) - 6 }, shownRate(edge)),
    svg("title", {}, `${label(edge.from)} sends to ${label(edge.to)}: ${shownRate(edge)}, ${short(edge.total)} in all`));
}

function drawNode(node, found) {
  const { x, y } = found.get(node.id);
  const row = state.rows.get(node.id);
  const box = [
    svg("rect", { x, y, width: BOX.width, height: BOX.height, rx: 9 }),
    row && svg("circle", { class: `dot ${row.tone}`, cx: x + 15, cy: y + 18, r: 4 }),
    svg("text", { class: "label", x: x + (row ? 26 : 14), y: y + 22 }, cut(label(node.id), row ? 18 : 20)),
    svg("text", { class: "under", x: x + 14, y: y + 37 }, cut(row ? `${space(node.id)} · ${row.ready}/${row.desired} pods` : space(node.id), 26)),
    svg("title", {}, node.id)];
  if (!row) return svg("g", { class: "node queue" }, box);
  const [namespace, name] = node.id.split("/");
  return svg("a", { class: "node", href: `#/actor/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`, "aria-label": `${name}, ${row.phase}` }, box);
}

function picture(graph) {
  const { found, height, width } = places(graph);
  const fastest = Math.max(...graph.edges.map((edge) => edge.rate), 0.001);
  return el("div", { class: "graph", tabindex: 0, role: "region", "aria-label": "Graph of routes; the table below says the same" },
    svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height },
      svg("defs", {}, svg("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto" },
        svg("path", { d: "M0 0 8 4 0 8Z" }))),
      graph.edges.map((edge) => drawEdge(edge, found, fastest)),
      graph.nodes.map((node) => drawNode(node, found))));
}

function table(graph) {
  return el("table", { class: "plain" }, el("caption", {}, "Who sends to whom"),
    el("thead", {}, el("tr", {}, ["From", "To", "Rate", "In all"].map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, graph.edges.map((edge) => el("tr", {},
      el("td", {}, label(edge.from), el("small", {}, ` ${space(edge.from)}`)), el("td", {}, label(edge.to), el("small", {}, ` ${space(edge.to)}`)),
      el("td", { class: "number" }, shownRate(edge)), el("td", { class: "number" }, short(edge.total))))));
}

function from(metrics) {
  if (!metrics.pods) return "";
  const answered = metrics.pods - metrics.failed;
  return `From the metrics of ${answered} of ${metrics.pods} sidecars, read every few seconds while this is open; totals since they started.`;
}

/** Show the view in `place`; what to do when it is left. */
export function routesView(place) {
  let gone = false;
  let before = "";
  const told = el("p", { class: "told", role: "status" }, "Reading the sidecars' metrics …");
  const shown = el("div", {});
  const names = [...new Set([...state.rows.values()].map((row) => row.ns))].sort();
  if (chosen.namespace && !names.includes(chosen.namespace)) chosen.namespace = "";
  const spaces = el("select", { "aria-label": "Namespace", onchange: () => { chosen.namespace = spaces.value; before = ""; read(); } },
    el("option", { value: "" }, "All namespaces"),
    names.map((name) => el("option", { value: name, selected: name === chosen.namespace }, name)));
  place.append(el("div", { class: "bar" }, el("h1", { tabindex: -1 }, "Routes"), spaces), told, shown);

  async function read() {
    let graph;
    try {
      graph = await ask(`routes?namespace=${encodeURIComponent(chosen.namespace)}`);
    } catch (error) {
      told.textContent = error.message;
      return;
    }
    const text = JSON.stringify(graph);
    if (gone || text === before) return;
    before = text;
    const problem = graph.metrics.problem;
    told.className = problem ? "told notice" : "told";
    told.textContent = problem
      ? `${graph.metrics.pods > graph.metrics.failed ? `${from(graph.metrics)} ` : "No routes can be shown. "}${problem}`
      : from(graph.metrics) || "No pods with a sidecar run here, or their metrics are just being read.";
    const focused = document.activeElement && document.activeElement.closest ? document.activeElement.closest("a.node") : null;
    const href = focused && focused.getAttribute("href");
    const scrolled = shown.querySelector(".graph") ? shown.querySelector(".graph").scrollLeft : 0;
    shown.replaceChildren(...(graph.edges.length
      ? [picture(graph), graph.more ? el("p", { class: "none" }, `The busiest are shown; ${graph.more} more were seen.`) : "", table(graph)]
      : [el("p", { class: "empty" }, "No message was sent from one actor to another yet, as far as can be seen.")]));
    const drawn = shown.querySelector(".graph");
    if (drawn) drawn.scrollLeft = scrolled;
    if (href) {
      const again = [...shown.querySelectorAll("a.node")].find((node) => node.getAttribute("href") === href);
      if (again) again.focus({ preventScroll: true });
    }
  }

  read();
  const early = setTimeout(read, 1500);
  const timer = setInterval(() => { if (!document.hidden) read(); }, REFRESH);
  return () => { gone = true; clearInterval(timer); clearTimeout(early); };
}
