// What stands in place of api.js in a page in one file: the same questions, answered from the file itself.
import { signal } from "./lib.js";

export const inFile = true;
export const version = signal(0);
export const connected = signal(true);
export const live = signal(false);
export const trouble = signal("");
export const dropped = signal(0);

export class Failure extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

// Packed JSON by the path that a server would be asked for; the contents of spans by so many to a block.
const blocks = new Map(Array.from(document.querySelectorAll("script[data-path]"), (block) => [block.dataset.path, block]));
const SPANS = Number(document.documentElement.dataset.spans);
const known = new Map();

function read(path) {
  if (!known.has(path)) known.set(path, unpack(path));
  return known.get(path);
}

async function unpack(path) {
  const block = blocks.get(path);
  if (!block) throw new Failure(`this file has no ${path.replace("/", " ")}: it holds the traces that were exported`, 404);
  const packed = Uint8Array.from(atob(block.textContent), (char) => char.charCodeAt(0));
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(plain).json();
}

export async function get(path, params = {}) {
  const [, trace, row] = /^trace\/(\w+)\/span\/(\d+)$/.exec(path) ?? [];
  if (trace) {
    const { spans, resources } = await read(`trace/${trace}/spans/${Math.floor(row / SPANS)}`);
    const span = spans[row % SPANS];
    return { ...span, resource: resources[span.resource] };
  }
  // No chart: it is as large as the rest of the page.
  if (path === "histogram" || path === "timeline") return { total: 0, buckets: [] };
  const found = await read(path);
  if (path !== "traces") return found;
  const from = Number(params.before ?? 0), to = from + (params.limit ?? Infinity);
  return { ...found, traces: found.traces.slice(from, to), next: to < found.traces.length ? String(to) : null };
}

// A single trace needs no list.
export function listen() {
  const traces = [...blocks.keys()].filter((path) => /^trace\/\w+$/.test(path));
  if (traces.length === 1 && !location.hash) location.replace(`#/${traces[0]}`);
}
