// What to compare: two traces, two searches or two times, written down or chosen among what is there.
import { html, useSignal } from "./lib.js";
import { go } from "./route.js";
import { version } from "./api.js";
import { useData } from "./load.js";
import { clock, count, day, duration, instant, plural, term } from "./format.js";
import { isRange, settled } from "./sides.js";

export function Choose({ a }) {
  const first = useSignal(a), second = useSignal("");
  const { data } = useData("traces", { limit: 8 }, version.value);
  const submit = (event) => {
    event.preventDefault();
    const now = Date.now(); // one for both: where one range ends the other begins
    const sides = [first.value, second.value].map((side) => settled(side.trim(), now));
    if (sides.every(Boolean)) go("compare", sides);
  };
  const field = (title, value, example) => html`<label>${title} <input class="mono" value=${value.value} list="recent" spellcheck=${false} autocomplete="off"
    onInput=${(event) => (value.value = event.target.value)} placeholder=${example} /></label>`;
  return html`<div class="page"><h1>Compare</h1>
    <p class="muted">A side is a search, a range of time (<code>20m..10m</code>, <code>12:00..12:05</code>), or one trace: the start of its id, <code>slow</code> or <code>last</code>.
      In the list, <kbd>x</kbd> marks a trace and compares it with the next one that is marked; after dragging over a chart there, <kbd>c</kbd> compares what was chosen with the rest.</p>
    <form class="choose" onSubmit=${submit}>
      ${field("Before", first, "service.version=1")}${field("After", second, "service.version=2")}
      <datalist id="recent">${data?.traces?.map((trace) => html`<option value=${trace.trace_id}>${trace.name} ${duration(trace.duration_ns)}</option>`)}</datalist>
      <button>Compare</button>
    </form>
    <${Suggested} q=${isRange(a) ? "" : a} /></div>`;
}

// Sides that the traces themselves offer.
function Suggested({ q }) {
  const { data: latency } = useData("histogram", { q, buckets: 1 }, version.value);
  const { data: times } = useData("timeline", { q, buckets: 2 }, version.value);
  const found = [];
  const offer = (title, what, before, after) => found.push({ title, what, sides: [`${q} ${before}`.trim(), `${q} ${after}`.trim()] });
  const failed = times?.buckets.reduce((sum, bucket) => sum + bucket.errors, 0) ?? 0;
  if (failed && failed < times.total) offer("What failed, with the rest", plural(failed, "trace"), "trace.errors=0", "trace.errors>0");
  if (latency?.total >= 20) offer("The slowest twentieth, with the rest", `from ${duration(latency.p95)} on`, `-trace.dur=${term(latency.p95)}..`, `trace.dur=${term(latency.p95)}..`);
  if (times?.buckets.length > 1) {
    const middle = times.buckets[1].from_ns;
    offer("The second half of the time, with the first", `from ${day(middle)} ${clock(middle, 0)} on`, `trace.start=..${instant(middle)}`, `trace.start=${instant(middle)}..`);
  }
  if (!found.length) return null;
  return html`<h3>${q ? html`In <code>${q}</code>` : `In all ${count(times?.total)} traces`}</h3>
    <ul class="suggested">${found.map(({ title, what, sides }) => html`<li><button onClick=${() => go("compare", sides)}>${title}</button> <span class="muted">${what}</span></li>`)}</ul>`;
}
