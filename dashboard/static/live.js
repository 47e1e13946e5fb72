// The rows of all actors, kept up to date by one stream of differences.

const SAMPLES = 120;

export const state = { rows: new Map(), lengths: new Map(), notices: [], about: {}, ready: false, connected: false };
const listeners = new Set();

/** Call `heard(changed, kind)` with the keys of rows that changed; kind is snapshot, change, tick or link. */
export function listen(heard) {
  listeners.add(heard);
  return () => listeners.delete(heard);
}

export const keyOf = (row) => `${row.ns}/${row.name}`;

function tell(changed, kind) {
  for (const heard of [...listeners]) heard(changed, kind);
}

function take(data) {
  const changed = new Set(data.gone);
  for (const key of data.gone) {
    state.rows.delete(key);
    state.lengths.delete(key);
  }
  for (const row of data.rows) {
    state.rows.set(keyOf(row), row);
    changed.add(keyOf(row));
  }
  if (data.notices) state.notices = data.notices;
  return changed;
}

/** Open the stream; the browser opens it again by itself, and is sent what it has missed. */
export function connect() {
  const source = new EventSource("events");
  source.addEventListener("snapshot", (event) => {
    const data = JSON.parse(event.data);
    if (data.phases) {
      state.about = data;
      state.lengths = new Map(Object.entries(data.lengths));
    }
    state.rows.clear();
    state.ready = true;
    tell(take(data), "snapshot");
  });
  source.addEventListener("change", (event) => tell(take(JSON.parse(event.data)), "change"));
  source.addEventListener("tick", () => {
    for (const [key, row] of state.rows) {
      const lengths = state.lengths.get(key);
      if (!lengths && row.length === null) continue;
      const kept = lengths || [];
      kept.push(row.length);
      if (kept.length > SAMPLES) kept.shift();
      state.lengths.set(key, kept);
    }
    tell(new Set(), "tick");
  });
  const link = (connected) => () => {
    if (state.connected === connected) return;
    state.connected = connected;
    tell(new Set(), "link");
  };
  source.addEventListener("open", link(true));
  source.addEventListener("error", link(false));
}

/** Ask the dashboard; an answer that is no success is thrown as an Error with the dashboard's own words. */
export async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The dashboard does not answer: is kubectl asya dashboard still running?");
  }
  const data = await answer.json();
  if (!answer.ok) throw new Error(data.error || `answer ${answer.status}`);
  return data;
}
