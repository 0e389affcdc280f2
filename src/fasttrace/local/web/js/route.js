// The address holds everything that is shown: `#/trace/<id>?span=..&view=flame`. Reloading shows it again.
import { signal } from "./lib.js";
import { inFile } from "./api.js";

function parse() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const parts = path.split("/").map(decode).filter(Boolean);
  return { page: parts[0] ?? "traces", rest: parts.slice(1), params: Object.fromEntries(new URLSearchParams(query)) };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const route = signal(parse());
addEventListener("hashchange", () => (route.value = parse()));

// In a page in one file all its traces stand for what a search would find.
export function address(page, rest = [], params = {}) {
  const set = Object.entries(inFile ? { ...params, q: "" } : params).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  const query = new URLSearchParams(set).toString();
  return "#/" + [page, ...rest].map(encodeURIComponent).join("/") + (query ? "?" + query : "");
}

// Another place in the history; `replace` for what is not worth going back to.
export function go(page, rest = [], params = {}, replace = false) {
  const to = address(page, rest, params);
  if (to === location.hash) return;
  history[replace ? "replaceState" : "pushState"](null, "", to);
  route.value = parse();
}

// The same place with some parameters changed.
export function change(params, replace = true) {
  const { page, rest, params: now } = route.value;
  go(page, rest, { ...now, ...params }, replace);
}
