// The server's JSON API, and what it tells by itself.
import { signal } from "./lib.js";

// In a page in one file in_file.js stands in place of this module: no searches, no comparisons, nothing live.
export const inFile = false;

export const version = signal(0);
export const connected = signal(true);
export const live = signal(true);
export const trouble = signal("");
export const dropped = signal(0);

// The change of the store that the server has told last, and the oldest that an answer before that has reached.
let told = null, oldest = Infinity;

export class Failure extends Error {
  constructor(message, status, found = {}) {
    super(message);
    this.status = status;
    this.position = found.position;
  }
}

export async function get(path, params = {}, signal = undefined) {
  const set = Object.entries(params).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  const query = new URLSearchParams(set).toString();
  const url = `api/${path}${query ? "?" + query : ""}`;
  const early = told === null;
  let answer;
  try {
    answer = await fetch(url, { signal, headers: { accept: "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("the server does not answer: is `fasttrace serve` still running?", 0);
  }
  if (early) wasEarly(Number(answer.headers.get("x-fasttrace-version") ?? Infinity));
  const found = await answer.json().catch(() => {
    signal?.throwIfAborted(); // the view has asked for something else meanwhile
    return null;
  });
  if (!answer.ok || !found) throw new Failure(found?.error ?? `HTTP ${answer.status}`, answer.status, found ?? {});
  return found;
}

// An answer to what was asked before the server told of changes: whatever came between them has to be asked for.
function wasEarly(reached) {
  if (told === null) oldest = Math.min(oldest, reached);
  else if (reached < told && live.value && connected.value) version.value++;
}

export function listen() {
  const source = new EventSource("api/live");
  source.onopen = () => (connected.value = true);
  source.onerror = () => (connected.value = false);
  source.onmessage = (event) => {
    const found = JSON.parse(event.data);
    trouble.value = found.trouble;
    dropped.value = found.dropped;
    if (live.value && (told !== null || oldest < found.version)) version.value++;
    told = found.version;
  };
  addEventListener("pagehide", () => source.close());
}
