// Creates elements from text only. No function here parses HTML, so text from the cluster never becomes markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An HTML element. */
export function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** The time since `since`, in kubectl's format. */
export function age(since) {
  const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(since)) / 1000));
  if (!Number.isFinite(seconds)) return "";
  for (const [length, letter] of [[86400, "d"], [3600, "h"], [60, "m"]]) {
    if (seconds >= 2 * length) return `${Math.floor(seconds / length)}${letter}`;
  }
  return `${seconds}s`;
}

/** A time of day, with the date if it is not today. */
export function clock(at) {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return "";
  const two = (number) => String(number).padStart(2, "0");
  const hours = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
  const today = time.toDateString() === new Date().toDateString();
  return today ? hours : `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${hours}`;
}

/** A number for people: 999, 12.3k, 4.5M. */
export function short(number) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (number >= size) return `${(number / (letter === "k" ? 1000 : size)).toFixed(1)}${letter}`;
  }
  return String(number);
}

/** Messages per second. */
export function rate(number) {
  return number >= 10 ? `${short(Math.round(number))}/s` : number > 0 ? `${Number(number.toPrecision(2))}/s` : "0/s";
}

/** A phase as a badge. */
export function badge(row) {
  return el("span", { class: `badge ${row.tone}` }, row.phase || "Not processed yet");
}

/** Show a short message for some seconds. Screen readers read it too. */
export function say(text) {
  const message = document.getElementById("said");
  message.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { message.textContent = ""; }, 8000);
}

/** Lengths over time as a line, with a gap for unknown lengths. */
export function sparkline(lengths, { width = 120, height = 24, samples = 120, what = "" } = {}) {
  const known = lengths.filter((length) => length !== null);
  if (!known.length) return null;
  const top = Math.max(1, ...known);
  const x = (n) => ((samples - lengths.length + n) / (samples - 1)) * (width - 4) + 2;
  const y = (length) => height - 2 - (length / top) * (height - 4);
  const runs = [];
  lengths.forEach((length, n) => {
    if (length === null) return;
    if (n === 0 || lengths[n - 1] === null) runs.push([]);
    runs[runs.length - 1].push([x(n), y(length)]);
  });
  const at = ([a, b]) => `${a.toFixed(1)},${b.toFixed(1)}`;
  const lines = runs.map((run) => `M${run.map(at).join("L")}`).join("");
  const areas = runs.map((run) => `M${run[0][0].toFixed(1)},${height}L${run.map(at).join("L")}L${run[run.length - 1][0].toFixed(1)},${height}Z`);
  const [lastX, lastY] = runs[runs.length - 1].slice(-1)[0];
  const label = `${what}length of the queue: now ${known[known.length - 1]}, at most ${top === 1 ? Math.max(...known) : top}`;
  return svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, preserveAspectRatio: "none" },
    svg("path", { class: "area", d: areas.join("") }),
    svg("path", { class: "line", d: lines, "vector-effect": "non-scaling-stroke" }),
    svg("circle", { class: "now", cx: lastX.toFixed(1), cy: lastY.toFixed(1), r: 1.8 }));
}
