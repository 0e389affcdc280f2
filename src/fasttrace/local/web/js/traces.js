// The list: search, latency, rows that move with the keyboard, new ones on top while live.
import { html, signal, useEffect, useRef } from "./lib.js";
import { change, go, route } from "./route.js";
import { version } from "./api.js";
import { useKeys } from "./keys.js";
import { count } from "./format.js";
import { learn } from "./colors.js";
import { listing } from "./listing.js";
import { mark, marked } from "./marks.js";
import { Search, focusSearch } from "./search.js";
import { Histogram } from "./histogram.js";
import { Timeline } from "./timeline.js";
import { withTheRest } from "./range.js";
import { TraceList } from "./tracelist.js";
import { say } from "./say.js";

// Which trace was looked at last, so that the list comes back to it.
const seen = signal("");

export function Traces() {
  const { q = "" } = route.value.params;
  const asked = listing(q);
  void asked.stamp.value;
  // What was found before stays until there is something else to show.
  const last = useRef(asked);
  if (asked.ready) last.current = asked;
  const of = last.current;
  const list = useRef(null);
  const walk = useRef(null);
  useEffect(() => {
    const timer = setTimeout(() => asked.refresh(), asked.wait);
    return () => clearTimeout(timer);
  }, [asked, version.value]);
  learn(new Set(of.rows.slice(0, 200).flatMap((trace) => trace.services)));

  const place = () => of.places.get(seen.value);
  // Of some row: that of the last key may not be drawn yet.
  const hasFocus = () => document.activeElement?.dataset?.trace !== undefined && place() !== undefined;
  const to = async (wanted) => {
    walk.current = null;
    if (!of.rows.length) return;
    if (wanted >= of.rows.length && !of.isWhole) await of.more();
    list.current?.focus(Math.max(0, Math.min(of.rows.length - 1, wanted)));
  };
  const move = (step) => to(hasFocus() ? place() + step : place() ?? 0);
  const toLast = async () => {
    const mine = (walk.current = {});
    const goesOn = () => walk.current === mine;
    await of.all(() => goesOn() && (say(`reading on: ${count(of.rows.length)} traces`), true));
    if (goesOn()) to(of.rows.length - 1);
  };
  useEffect(() => () => (walk.current = null), []);
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    PageDown: () => move(list.current?.page() ?? 1),
    PageUp: () => move(-(list.current?.page() ?? 1)),
    Home: () => to(0),
    End: toLast,
    g: () => to(0),
    G: toLast,
    "/": focusSearch,
    c: () => go("compare", withTheRest(q) ?? [q].filter(Boolean)),
    x: () => mark(document.activeElement?.dataset?.trace),
    Escape: () => (walk.current ? (walk.current = null) : q && change({ q: "" }, false)),
  });
  useEffect(() => {
    if (of.ready && document.activeElement === document.body && place() !== undefined) list.current?.focus(place());
  }, [of.ready]);

  const { rows } = of;
  const { error } = asked;
  const found = asked.ready ? asked.total ?? (asked.isWhole ? asked.rows.length : null) : null;
  return html`<div class="page">
    <h1 class="offscreen">Traces</h1>
    <${Search} error=${error} found=${found} loading=${!asked.ready && !error} />
    <div class="charts"><${Timeline} q=${q} /><${Histogram} q=${q} /></div>
    ${of.ready && !rows.length && !error && html`<${Nothing} q=${q} hint=${of.hint} />`}
    ${rows.length > 0 &&
    html`<div class="listhead" aria-hidden="true"><span>Started</span><span>Trace</span><span>Services</span><span class="right">Spans</span><span>Duration</span></div>
    <${TraceList} of=${of} q=${of.q} seen=${seen} marked=${marked} handle=${list} />
    ${of.error ? html`<button class="more" onClick=${() => of.more()}>Try to read on</button>` : of.next && html`<p class="more muted" role="status">${of.isWhole ? "Older ones are not listed: narrow the search." : "reading on…"}</p>`}`}
  </div>`;
}

function Nothing({ q, hint }) {
  return html`<div class="nothing">
    ${q
      ? html`<p><b>No trace has a span like that.</b>${hint && html` ${hint[0].toUpperCase() + hint.slice(1)}`}</p><p><button onClick=${() => change({ q: "" }, false)}>Show all traces</button></p>`
      : html`<p><b>No traces yet.</b> They show up here within a second.</p>
        <ul><li><code>fasttrace demo</code> runs a shop of five services that is too slow in one place</li>
        <li><code>fasttrace.configure(service_name="shop")</code> in your application</li>
        <li><code>fasttrace serve --otlp 4318</code> for services in any language</li></ul>`}
  </div>`;
}
