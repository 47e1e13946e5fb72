// Shows the view that the address names, and the page's header.

import { actorsView } from "./actors.js";
import { actorView } from "./actor.js";
import { routesView } from "./routes.js";
import { el } from "./dom.js";
import { connect, listen, state } from "./live.js";

const main = document.getElementById("main");
let leave = () => {};
let shown = null;

function view(hash) {
  const parts = hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  if (parts[0] === "routes") return { name: "routes", title: "Routes", open: routesView };
  if (parts[0] === "actor" && parts.length === 3) {
    return { name: "actors", title: `${parts[2]} (${parts[1]})`, open: (place) => actorView(place, parts[1], parts[2]) };
  }
  return { name: "actors", title: "Actors", open: actorsView };
}

function show() {
  if (location.hash === "#main") return;
  const next = view(location.hash);
  leave();
  main.replaceChildren();
  document.title = `${next.title} · Asya`;
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === next.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  leave = next.open(main) || (() => {});
  if (shown !== null) {
    window.scrollTo(0, 0);
    const heading = main.querySelector("h1");
    if (heading) heading.focus({ preventScroll: true });
  }
  shown = location.hash;
}

function drawHeader() {
  document.getElementById("context").textContent = [state.about.context, state.about.namespace].filter(Boolean).join(" · ");
  const link = document.getElementById("link");
  link.textContent = state.connected ? "live" : "connection lost";
  link.classList.toggle("lost", !state.connected);
  document.getElementById("notices").replaceChildren(
    ...state.notices.map((notice) => el("p", { class: "notice" }, notice.text)));
}

listen((_, kind) => {
  if (kind !== "tick") drawHeader();
  if (kind === "snapshot" && shown === null) show();
});
addEventListener("hashchange", show);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("keydown", (event) => {
  const search = document.getElementById("search");
  if (!search || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
    event.preventDefault();
    search.focus();
  }
});
connect();
