// The rows of all actors, kept up to date by one stream of changes.

const SAMPLES = 120;

export const state = { rows: new Map(), lengths: new Map(), notices: [], about: {}, ready: false, connected: false };
const listeners = new Set();

/**
 * Call `listener(changed, kind)` after each event with the keys of the changed rows. The kind is snapshot, change,
 * tick or link. Returns a function that removes the listener.
 */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const keyOf = (row) => `${row.ns}/${row.name}`;

function notify(changed, kind) {
  for (const listener of [...listeners]) listener(changed, kind);
}

/** Apply an event's changes to the state. Returns the keys of the changed rows. */
function apply(data) {
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

/** Open the stream. After a lost connection the browser opens it again and gets the changes that it missed. */
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
    notify(apply(data), "snapshot");
  });
  source.addEventListener("change", (event) => notify(apply(JSON.parse(event.data)), "change"));
  source.addEventListener("tick", () => {
    for (const [key, row] of state.rows) {
      const lengths = state.lengths.get(key);
      if (!lengths && row.length === null) continue;
      const kept = lengths || [];
      kept.push(row.length);
      if (kept.length > SAMPLES) kept.shift();
      state.lengths.set(key, kept);
    }
    notify(new Set(), "tick");
  });
  const link = (connected) => () => {
    if (state.connected === connected) return;
    state.connected = connected;
    notify(new Set(), "link");
  };
  source.addEventListener("open", link(true));
  source.addEventListener("error", link(false));
}

/** Send a request to the dashboard's server. Throws an Error with the server's message if it refuses. */
export async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The dashboard does not answer: check that kubectl asya dashboard still runs.");
  }
  const data = await response.json();
  if (!response.ok) throw new Error(data.error || `HTTP ${response.status}`);
  return data;
}
