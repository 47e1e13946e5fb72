// The page of one actor: its state, what to do, the injection, and its pods, events, logs and dead letters.

import { age, badge, clock, el, rate, say, short, sparkline } from "./dom.js";
import { ask, listen, state } from "./live.js";

const REFRESH = 8000;
const FOLLOW = 2000;
const SAMPLE_MINUTES = 10;

const part = (title, ...content) => el("section", { class: "card" }, el("h2", {}, title), ...content);
const none = (text) => el("p", { class: "none" }, text);
const fact = (name, value) => [el("dt", {}, name), el("dd", {}, value)];

function conditions(list) {
  if (!list.length) return none("The controller has not processed this actor yet.");
  return el("ul", { class: "conditions" }, list.map((c) => el("li", { "data-status": c.status },
    el("p", { class: "head" },
      el("b", {}, c.type), el("span", { class: `badge ${c.status === "True" ? "good" : c.status === "False" ? "wrong" : "moving"}` }, c.reason),
      el("small", {}, `${c.status === "True" ? "true" : c.status === "False" ? "false" : "unknown"} for ${age(c.since)}`)),
    el("p", {}, c.what),
    c.do && el("p", { class: "do" }, el("b", {}, "What to do: "), c.do))));
}

const lines = (list) => el("pre", { class: "lines", tabindex: 0 }, list.map((line) => line.replace(/^ {2}/, "")).join("\n"));

function pods(list) {
  if (!list.length) return none("There are no pods.");
  return el("ul", { class: "pods" }, list.map((pod) => el("li", {},
    el("span", { class: `badge ${pod.ready ? "good" : pod.state === "Succeeded" ? "rest" : "wrong"}` }, pod.ready ? "Ready" : pod.state),
    el("code", {}, pod.name),
    el("small", {}, [`${age(pod.created)} old`, pod.restarts ? `restarted ${pod.restarts}×` : "", pod.node].filter(Boolean).join(" · ")))));
}

function events(list) {
  if (!list.length) return none("There are no events. Kubernetes deletes events after an hour.");
  return el("ul", { class: "events" }, list.map((event) => el("li", { class: event.warning ? "warning" : "" },
    el("p", { class: "head" }, el("b", {}, event.reason), el("small", {}, `${clock(event.at)} · ${event.about}${event.count > 1 ? ` · ${event.count}×` : ""}`)),
    el("p", {}, event.message))));
}

function traffic(shown) {
  if (shown.metrics.problem && !shown.traffic.measured) return none(`No rates: ${shown.metrics.problem}`);
  const flow = shown.traffic;
  if (!flow.measured) return none("Rates appear after the second sample of the sidecars, in a few seconds.");
  return el("dl", { class: "facts" },
    fact("Received", rate(flow.received)), fact("Failed", rate(flow.failed)), fact("In hand", String(flow.active)),
    fact("Mean time", flow.seconds === null ? "–" : `${Number(flow.seconds.toPrecision(2))} s`));
}

function missing(list) {
  return list.length ? el("div", { class: "notice" }, el("ul", {}, list.map((text) => el("li", {}, text)))) : null;
}

/** The page of one actor, drawn in `place`. */
class ActorPage {
  constructor(place, namespace, name) {
    this.key = `${namespace}/${name}`;
    this.at = `actors/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
    this.isGone = false;
    this.showing = "";
    this.title = el("div", { class: "title" });
    this.now = el("div", { class: "now-part" });
    this.rest = el("div", { class: "columns" });
    this.fold = el("div", {});
    this.lengths = el("dl", { class: "facts" });
    this.measure = el("button", { type: "button", class: "button", hidden: true, onclick: () => this.askBroker() }, "Ask the broker");
    this.pause = el("button", { type: "button", class: "button", hidden: true, onclick: () => this.act() });
    place.append(el("p", { class: "crumbs" }, el("a", { href: "#/" }, "Actors"), ` / ${namespace}`),
      el("h1", { tabindex: -1 }, name), this.title, this.now, this.rest, this.fold);
  }

  /** Pause or resume. */
  async act() {
    this.pause.disabled = true;
    try {
      say((await ask(`${this.at}/${this.pause.dataset.action}`, {})).done);
    } catch (error) {
      say(error.message);
    }
    this.pause.disabled = false;
  }

  async askBroker() {
    this.measure.disabled = true;
    this.lengths.replaceChildren(el("dt", { class: "busy", role: "status" }, "A pod asks the broker. This takes some seconds …"));
    try {
      const answer = (await ask(`${this.at}/lengths`)).lengths;
      this.lengths.replaceChildren(...Object.entries(answer).flatMap(([queue, length]) =>
        fact(el("code", {}, queue), length === null ? "does not exist" : short(length))));
    } catch (error) {
      this.lengths.replaceChildren(el("dt", { role: "status" }, error.message));
    }
    this.measure.disabled = false;
  }

  /** Draw the parts that come from the actor's row, which the stream updates. */
  drawTop() {
    const row = state.rows.get(this.key);
    if (!row) {
      this.title.replaceChildren(none("This actor does not exist, or was deleted."));
      this.now.replaceChildren();
      return;
    }
    this.pause.textContent = row.paused ? "Resume" : "Pause";
    this.pause.dataset.action = row.paused ? "resume" : "pause";
    const meaning = ((state.about.phases || {})[row.phase] || "").replaceAll("`", "");
    this.title.replaceChildren(badge(row), el("span", { class: "meaning" }, meaning), this.pause);
    const off = row.scale === "off" ? ", and scaling is off" : "";
    this.now.replaceChildren(
      part("Now", el("dl", { class: "facts" },
        fact("Pods", `${row.ready} of ${row.desired} ready`), fact("Workload", row.kind), fact("Scale", row.scale),
        fact("Transport", row.transport), fact("Queue", el("code", {}, row.queue)), fact("Age", age(row.created)))),
      part("Messages in the queue",
        el("p", { class: "big" }, row.length !== null ? short(row.length) : row.active ? "some" : "–",
          el("small", {}, row.length !== null ? ` · the last ${SAMPLE_MINUTES} minutes` : ` · unknown: KEDA measures it while the actor has pods${off}`)),
        sparkline(state.lengths.get(this.key) || [], { width: 600, height: 90 }) || "",
        el("p", { class: "tools" }, this.measure), this.lengths));
  }

  /** Read the other parts, and draw them if they have changed. */
  async load() {
    let shown;
    try {
      shown = await ask(this.at);
    } catch (error) {
      if (!this.isGone && !this.showing) this.rest.replaceChildren(missing([error.message]));
      return;
    }
    const text = JSON.stringify(shown);
    if (this.isGone || text === this.showing) return;
    const isFirst = !this.showing;
    this.showing = text;
    this.pause.hidden = !shown.can.pause;
    this.measure.hidden = !shown.can.letters;
    this.drawRest(shown);
    if (isFirst) this.fold.replaceChildren(logs(this.at, () => this.isGone), ...(shown.can.letters ? [letters(this.at)] : []));
  }

  /** Draw only the parts that have changed, so that the other parts stay where the user reads them. */
  drawRest(shown) {
    const injected = [...shown.objects, "", ...shown.injection];
    const sections = [
      shown.missing.length && [shown.missing, () => missing(shown.missing)],
      [shown.conditions, () => part("Conditions", conditions(shown.conditions))],
      shown.warnings.length && [shown.warnings, () => part("Warnings", lines(shown.warnings.slice(1)))],
      [injected, () => part("What was injected", injected.length > 1 ? lines(injected) : none("Nothing yet."))],
      shown.queueing.length && [shown.queueing, () => part("Where messages go", lines(shown.queueing.slice(1)))],
      [[shown.traffic, shown.metrics], () => part("Messages, by the sidecars", traffic(shown))],
      [shown.pods, () => part(`Pods (${shown.pods.length})`, pods(shown.pods))],
      [shown.events, () => part("Events", events(shown.events))],
    ].map((one) => one && { text: JSON.stringify(one[0]), make: one[1] });
    const hasSameSections = this.drawn && sections.every((one, n) => Boolean(one) === Boolean(this.drawn[n]));
    for (const [n, one] of sections.entries()) {
      if (!one) continue;
      const before = hasSameSections ? this.drawn[n] : null;
      one.element = before && before.text === one.text ? before.element : one.make();
      if (before && before.element !== one.element) before.element.replaceWith(one.element);
    }
    if (!hasSameSections) this.rest.replaceChildren(...sections.filter(Boolean).map((one) => one.element));
    this.drawn = sections;
  }
}

/** Show an actor in `place`. Returns a function that closes the view. */
export function actorView(place, namespace, name) {
  const page = new ActorPage(place, namespace, name);
  page.drawTop();
  page.load();
  const timer = setInterval(() => { if (!document.hidden) page.load(); }, REFRESH);
  const unlisten = listen((changed, kind) => {
    if (kind === "link") return;
    page.drawTop();
    if (changed.has(page.key) || kind === "snapshot") page.load();
  });
  return () => { page.isGone = true; clearInterval(timer); unlisten(); };
}

function logs(at, isGone) {
  const output = el("pre", { class: "log", tabindex: 0, role: "log", "aria-live": "off", "aria-label": "Log" });
  const note = el("p", { class: "none" });
  const container = el("select", { "aria-label": "Container", onchange: () => read(true) },
    el("option", { value: "runtime" }, "your function"), el("option", { value: "sidecar" }, "sidecar"));
  const follow = el("input", { type: "checkbox", checked: true, onchange: () => read(false) });
  let before = "";
  let timer = 0;

  async function read(anew) {
    clearTimeout(timer);
    try {
      const answer = await ask(`${at}/logs?container=${container.value}`);
      const text = JSON.stringify(answer);
      if (text !== before || anew) {
        before = text;
        output.replaceChildren(...answer.lines.map((line) => el("span", { class: "log-line" },
          el("time", { datetime: line.at, title: line.pod }, clock(line.at)), ` ${line.text}\n`)));
        note.textContent = [...answer.missing, answer.lines.length ? "" : "No lines.",
          answer.pods > answer.read ? `The newest ${answer.read} of ${answer.pods} pods.` : ""].filter(Boolean).join(" ");
        output.scrollTop = output.scrollHeight;
      }
    } catch (error) {
      note.textContent = error.message;
    }
    if (!isGone() && follow.checked) timer = setTimeout(() => read(false), document.hidden ? 5 * FOLLOW : FOLLOW);
  }

  read(true);
  return el("section", { class: "card wide" }, el("h2", {}, "Logs"),
    el("p", { class: "tools" }, container, el("label", {}, follow, " follow")), note, output);
}

function letters(at) {
  const place = el("div", {});
  const button = el("button", { type: "button", class: "button", onclick: load }, "Look for dead letters");
  const busy = (text) => place.replaceChildren(el("p", { class: "busy", role: "status" }, text));

  async function load() {
    button.disabled = true;
    busy("A pod with the actor's own credentials reads them. This takes some seconds …");
    try {
      draw((await ask(`${at}/letters`)).letters);
    } catch (error) {
      place.replaceChildren(el("p", { class: "notice", role: "status" }, error.message));
    }
    button.disabled = false;
  }

  async function replay(ids) {
    busy(ids ? `Replaying ${ids.length} …` : "Replaying all …");
    try {
      say((await ask(`${at}/replay`, ids ? { ids } : { all: true })).done);
    } catch (error) {
      say(error.message);
    }
    load();
  }

  function draw(list) {
    if (!list.length) return place.replaceChildren(none("This actor has no dead letters."));
    const boxes = list.map((letter) => el("input", { type: "checkbox", "aria-label": `Select ${letter.id}`, value: letter.id, disabled: !letter.id }));
    const chosen = () => boxes.filter((box) => box.checked).map((box) => box.value);
    place.replaceChildren(
      el("p", { class: "tools" },
        el("button", { type: "button", class: "button", onclick: () => { const ids = chosen(); if (ids.length) replay(ids); else say("Select messages first."); } }, "Replay the chosen"),
        el("button", { type: "button", class: "button", onclick: () => replay(null) }, "Replay all")),
      el("ul", { class: "letters" }, list.map((letter, n) => el("li", {},
        el("label", { class: "head" }, boxes[n], el("b", {}, letter.error || "failed"), el("small", {}, letter.queue)),
        el("details", {}, el("summary", {}, el("code", {}, letter.id || "no id")), el("pre", { class: "lines", tabindex: 0 }, letter.text))))));
  }

  return el("section", { class: "card wide" }, el("h2", {}, "Dead letters"), el("p", { class: "tools" }, button), place);
}
