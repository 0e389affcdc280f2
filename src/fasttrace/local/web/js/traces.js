// The list: search, latency, rows that move with the keyboard, new ones on top while live.
import { html, signal, useEffect, useRef } from "./lib.js";
import { address, change, go, route } from "./route.js";
import { version, get } from "./api.js";
import { useData } from "./load.js";
import { useKeys } from "./keys.js";
import { clean, clock, count, day, duration, isToday, plural } from "./format.js";
import { learn, tint } from "./colors.js";
import { Search, focusSearch } from "./search.js";
import { Histogram } from "./histogram.js";
import { say } from "./say.js";

const PAGE = 50;
export const marked = signal(null);

// Which trace was looked at last, so that the list comes back to it.
const seen = signal("");

export function Traces() {
  const { q = "" } = route.value.params;
  const limit = Number(route.value.params.n) || PAGE;
  const { data, error, loading } = useData("traces", { q, limit }, version.value);
  const list = useRef();
  const traces = data?.traces ?? [];
  for (const trace of traces) learn(trace.services);

  const links = () => [...(list.current?.querySelectorAll("a.trace") ?? [])];
  const move = (step) => {
    const all = links();
    if (!all.length) return;
    const at = all.indexOf(document.activeElement);
    const next = at < 0 ? (seen.value ? Math.max(0, traces.findIndex((trace) => trace.trace_id === seen.value)) : 0) : at + step;
    if (next >= all.length && data?.next && step === 1) more();
    (all[Math.max(0, Math.min(all.length - 1, next))] ?? all[0]).focus();
  };
  const more = () => change({ n: Math.min(500, limit + PAGE) });
  const current = () => document.activeElement?.dataset?.trace;
  const mark = () => {
    const id = current();
    if (!id) return;
    if (marked.value && marked.value !== id) {
      const first = marked.value;
      marked.value = null;
      go("compare", [first, id]);
    } else {
      marked.value = marked.value === id ? null : id;
      say(marked.value ? "marked: x on another trace compares the two" : "no mark");
    }
  };
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    g: () => links()[0]?.focus(),
    G: () => links().at(-1)?.focus(),
    "/": focusSearch,
    x: mark,
    Escape: () => q && change({ q: "" }, false),
  });
  useEffect(() => {
    const at = seen.value && document.activeElement === document.body && links().find((link) => link.dataset.trace === seen.value);
    if (at) at.focus();
  }, [data === null]);

  const longest = traces.reduce((most, trace) => Math.max(most, trace.duration_ns), 1);
  return html`<div class="page">
    <h1 class="offscreen">Traces</h1>
    <${Search} error=${error} found=${data?.total_matching} loading=${loading} />
    <${Histogram} q=${q} />
    ${data && !traces.length && !error && html`<${Nothing} q=${q} />`}
    ${traces.length > 0 &&
    html`<div class="listhead" aria-hidden="true"><span>Started</span><span>Trace</span><span>Services</span><span class="right">Spans</span><span>Duration</span></div>
    <ol class="list" ref=${list} aria-label="Traces, newest first">
      ${traces.map((trace) => html`<${Row} key=${trace.trace_id} trace=${trace} longest=${longest} q=${q} />`)}
    </ol>`}
    ${data?.next && limit < 500 && html`<button class="more" onClick=${more}>Show more</button>`}
  </div>`;
}

function Row({ trace, longest, q }) {
  const failed = trace.errors > 0;
  const name = clean(trace.name) || "(no name)";
  const isMarked = marked.value === trace.trace_id;
  return html`<li class=${isMarked ? "marked" : ""}>
    <a class="trace" data-trace=${trace.trace_id} href=${address("trace", [trace.trace_id], { q })} onClick=${() => (seen.value = trace.trace_id)}
      onFocus=${() => (seen.value = trace.trace_id)}>
      <span class="when num">${!isToday(trace.start_ns) && html`<small>${day(trace.start_ns).slice(5)}</small> `}${clock(trace.start_ns)}</span>
      <span class="what">
        <${Status} trace=${trace} />
        <b>${name}</b>
        ${isMarked && html`<em class="tag">marked</em>`}
      </span>
      <span class="services">${trace.services.slice(0, 6).map((service) => html`<i class="service" style=${tint(service)}>${clean(service)}</i>`)}${
        trace.services.length > 6 && html`<i class="muted">+${trace.services.length - 6}</i>`}</span>
      <span class="right num">${count(trace.spans)}${failed && html` <span class="bad">✖ ${count(trace.errors)}</span>`}</span>
      <span class="dur"><i class="bar" aria-hidden="true"><b style=${{ width: `${(100 * trace.duration_ns) / longest}%` }} class=${failed ? "failed" : ""} /></i><span class="num">${duration(trace.duration_ns)}</span></span>
    </a></li>`;
}

export function Status({ trace }) {
  const status = String(trace.status ?? "");
  const bad = status === "error" || /^5\d\d$/.test(status);
  return html`<span class=${"status num" + (bad ? " bad" : "")}>${bad ? "✖ " : ""}${status || "–"}</span>`;
}

function Nothing({ q }) {
  return html`<div class="nothing">
    ${q
      ? html`<p><b>No trace has a span like that.</b></p><p><button onClick=${() => change({ q: "" }, false)}>Show all traces</button></p>`
      : html`<p><b>No traces yet.</b> They show up here within a second.</p>
        <ul><li><code>fasttrace demo</code> runs a shop of five services that is too slow in one place</li>
        <li><code>fasttrace.configure(service_name="shop")</code> in your application</li>
        <li><code>fasttrace serve --otlp 4318</code> for services in any language</li></ul>`}
  </div>`;
}
