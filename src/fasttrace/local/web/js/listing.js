// Traces page by page, the newest first; what comes while live goes on top. Kept while one looks at a trace.
import { signal } from "./lib.js";
import { get } from "./api.js";

const PAGE = 200, LARGE_PAGE = 500;
// Beyond, nobody reads on: the search has to be narrowed.
const MOST = 200_000;
const MOST_NEW_PAGES = 10;
const PAUSE_MS = 400;

class Listing {
  constructor(q) {
    this.q = q;
    this.rows = [];
    this.places = new Map();
    this.next = null;
    this.total = null;
    this.hint = "";
    this.longest = 1;
    this.ready = false;
    this.error = null;
    this.asked = 0;
    this.stamp = signal(0);
    this.abort = new AbortController();
    this.work = Promise.resolve();
  }

  get isWhole() {
    return this.next === null || this.rows.length >= MOST;
  }

  // How long a refresh should wait, so that a busy store is not asked all the time.
  get wait() {
    return this.ready ? Math.max(0, PAUSE_MS - (performance.now() - this.asked)) : 0;
  }

  refresh() {
    return this.inTurn(async () => {
      this.asked = performance.now();
      const first = await this.page(null, PAGE);
      const fresh = first.traces;
      let next = first.next;
      const known = () => fresh.some((trace) => this.places.has(trace.trace_id));
      for (let pages = 1; this.rows.length && next && !known() && pages < MOST_NEW_PAGES; pages++) {
        const found = await this.page(next, LARGE_PAGE);
        fresh.push(...found.traces);
        next = found.next;
      }
      this.total = first.total_matching;
      this.hint = first.hint;
      const ids = new Set(fresh.map((trace) => trace.trace_id));
      const rest = known() ? this.rows.filter((trace) => !ids.has(trace.trace_id) && isOlder(trace, fresh.at(-1))) : [];
      if (!rest.length) this.next = next;
      this.put([...fresh, ...rest]);
    });
  }

  // The next page of older ones.
  more(size = PAGE) {
    return this.inTurn(async () => {
      if (this.isWhole) return;
      const found = await this.page(this.next, size);
      this.next = found.next;
      this.put([...this.rows, ...found.traces.filter((trace) => !this.places.has(trace.trace_id))]);
    });
  }

  // Older ones until there are none, a large page at a time, as long as `goesOn` says so.
  async all(goesOn) {
    while (!this.isWhole && !this.error && goesOn()) await this.more(LARGE_PAGE);
  }

  page(before, limit) {
    return get("traces", { q: this.q, limit, before }, this.abort.signal);
  }

  put(rows) {
    this.rows = rows;
    this.places = new Map(rows.map((trace, place) => [trace.trace_id, place]));
    this.longest = rows.reduce((most, trace) => Math.max(most, trace.duration_ns), 1);
    this.ready = true;
  }

  // One question after the other: each begins where the last one ended.
  inTurn(action) {
    return (this.work = this.work.then(async () => {
      try {
        await action();
        this.error = null;
      } catch (error) {
        if (error.name === "AbortError") return;
        this.error = error;
      }
      this.stamp.value++;
    }));
  }
}

// Both as decimal text, which is longer than a number holds.
function isOlder(trace, than) {
  const one = trace.start_ns, other = than.start_ns;
  return one.length === other.length ? one <= other : one.length < other.length;
}

let held = null;

export function listing(q) {
  if (held?.q !== q) {
    held?.abort.abort();
    held = new Listing(q);
  }
  return held;
}
