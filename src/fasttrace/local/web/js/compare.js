// Two traces or two groups of them side by side: the same calls stand in one row; the change is in the spans' own time.
import { html, useSignal } from "./lib.js";
import { address, go, route } from "./route.js";
import { useData } from "./load.js";
import { useKeys } from "./keys.js";
import { clean, count, duration, percent, plural, quoted } from "./format.js";
import { learn, tint } from "./colors.js";
import { Wide } from "./pills.js";
import { Choose } from "./choose.js";
import { routeTerm, searchOf } from "./sides.js";

export function Compare() {
  const [a = "", b = ""] = route.value.rest;
  const { data, error } = useData(a && b ? "compare" : "", { a, b });
  useKeys({ Escape: () => go("traces"), s: () => a && b && go("compare", [b, a]) });
  if (!a || !b) return html`<${Choose} a=${a} />`;
  if (error) return html`<div class="page nothing"><p class="bad">${error.message}</p><p><button onClick=${() => go("compare", [a])}>Choose other sides</button></p></div>`;
  if (!data) return html`<div class="page"><p class="muted">comparing…</p></div>`;
  return html`<${Compared} data=${data} a=${a} b=${b} />`;
}

const MOST_ROWS = 2000;

function Compared({ data, a, b }) {
  const changed = useSignal(false);
  const rows = data.rows.map((row, place) => ({ ...row, place }));
  learn(new Set(rows.map((row) => row.service)));
  const most = Math.max(1, ...rows.map((row) => Math.abs(row.change)));
  const largest = new Set(data.largest?.slice(0, 3));
  const shown = (changed.value ? rows.filter((row) => Math.abs(row.change) > most / 50 || !row.a || !row.b) : rows).slice(0, MOST_ROWS);
  const sign = (change) => (change > 0 ? "+" : change < 0 ? "−" : "±");
  const top = data.largest?.length ? data.rows[data.largest[0]] : null;
  const groups = Boolean(data.a.traces);
  return html`<div class="page compare">
    <h1 class="offscreen">Comparison</h1>
    <div class="versus">
      <${Side} of=${data.a} id=${a} title="Before" /><${Side} of=${data.b} id=${b} title="After" />
      <div class="verdict"><span class="num big">${sign(data.change)}${duration(Math.abs(data.change))}</span>
        <span>${data.change > 0 ? "slower" : data.change < 0 ? "faster" : "as long"}${groups ? " on average" : ""}${top && data.change !== 0 ? html`, most in <b>${clean(`${top.service} ${top.name}`)}</b> (${sign(top.change)}${duration(Math.abs(top.change))})` : ""}</span>
        <div><button onClick=${() => go("compare", [b, a])}>swap (s)</button>
        <button aria-pressed=${changed.value} onClick=${() => (changed.value = !changed.value)}>changes only</button></div></div>
    </div>
    ${data.routes && html`<${Routes} rows=${data.routes} a=${a} b=${b} />`}
    ${data.routes && html`<h3>${aligned(data)}</h3>`}
    <${Wide} label="Spans"><table class="data wide"><thead><tr><th scope="col">Span</th><th scope="col" class="right">Spans</th><th scope="col" class="right">Before</th><th scope="col" class="right">After</th><th scope="col" class="right">Self before</th><th scope="col" class="right">Self after</th><th scope="col" class="right">Change</th><th scope="col"><span class="offscreen">Change, drawn</span></th></tr></thead>
      <tbody>${shown.map((row) => html`<tr key=${row.place} class=${(largest.has(row.place) ? "largest" : "") + (!row.a ? " new" : !row.b ? " gone" : "")}>
        <td><span style=${{ paddingLeft: `${Math.min(row.depth, 20) * 14}px` }}><i class="service" style=${tint(row.service)}>${clean(row.service)}</i> ${clean(row.name)}${!row.a ? html` <em class="tag">new</em>` : !row.b ? html` <em class="tag">gone</em>` : ""}</span></td>
        <td class="right num">${row.a?.spans === row.b?.spans ? row.a.spans : `${row.a?.spans ?? 0} → ${row.b?.spans ?? 0}`}${(row.b?.errors ?? 0) + (row.a?.errors ?? 0) > 0 && html` <span class="bad">✖ ${row.a?.errors ?? 0} → ${row.b?.errors ?? 0}</span>`}</td>
        <td class="right num">${row.a ? duration(row.a.duration) : "–"}</td><td class="right num">${row.b ? duration(row.b.duration) : "–"}</td>
        <td class="right num muted">${row.a ? duration(row.a.self) : "–"}</td><td class="right num muted">${row.b ? duration(row.b.self) : "–"}</td>
        <td class="right num"><b>${row.change === 0 ? "–" : sign(row.change) + duration(Math.abs(row.change))}</b></td>
        <${Drawn} change=${row.change} most=${most} />
      </tr>`)}</tbody></table><//>
    ${rows.length > MOST_ROWS && html`<p class="muted">${count(rows.length - MOST_ROWS)} more rows; “changes only” shows those that matter.</p>`}
  </div>`;
}

// Times of the tree are means over so many.
const aligned = ({ a, b }) =>
  `Where the time goes, in a trace of ${count(a.traces)} before and ${count(b.traces)} after${a.all.traces > a.traces || b.all.traces > b.traces ? ": the newest of each" : ""}`;

const MOST_ROUTES = 200;

function Routes({ rows, a, b }) {
  const most = Math.max(1, ...rows.map((row) => Math.abs(row.change ?? 0)));
  const own = (side) => side && side.self_ns / side.count;
  const failed = (side) => (side.errors ? html`<span class="bad">✖ ${percent(side.errors, side.count)}</span>` : "0");
  const link = (text, row) => address("traces", [], { q: `${searchOf(text)} service=${quoted(row.service)} ${routeTerm(row.route)}`.trim() });
  const both = (row, of) => html`<td class="right num">${row.a ? of(row.a) : "–"} <span class="muted">→</span> <b>${row.b ? of(row.b) : "–"}</b></td>`;
  return html`<h3>Routes</h3><${Wide} label="Routes"><table class="data wide pairs"><thead>
      <tr><th scope="col">Service</th><th scope="col">Route</th>${["Requests", "Errors", "p50", "p95", "Self, each"].map((title) => html`<th scope="col" class="right">${title}</th>`)}<th scope="col" class="right">Change</th><th scope="col"><span class="offscreen">Change, drawn</span></th></tr></thead>
    <tbody>${rows.slice(0, MOST_ROUTES).map((row) => html`<tr key=${`${row.service} ${row.route}`}>
      <td><i class="service" style=${tint(row.service)}>${clean(row.service)}</i></td>
      <td><a href=${link(row.b ? b : a, row)}>${clean(row.route)}</a>${!row.a ? html` <em class="tag">new</em>` : !row.b ? html` <em class="tag">gone</em>` : ""}</td>
      ${both(row, (side) => count(side.count))}${both(row, failed)}${both(row, (side) => duration(side.p50))}${both(row, (side) => duration(side.p95))}${both(row, (side) => duration(own(side)))}
      <td class="right num"><b>${row.change ? (row.change > 0 ? "+" : "−") + duration(Math.abs(row.change)) : "–"}</b></td><${Drawn} change=${row.change ?? 0} most=${most} /></tr>`)}</tbody></table><//>
    ${rows.length > MOST_ROUTES && html`<p class="muted">${plural(rows.length - MOST_ROUTES, "more route")}, in which less has changed.</p>`}`;
}

// A change to the right when it takes longer, to the left when it takes less.
const Drawn = ({ change, most }) => html`<td class="diff"><svg width="100" height="14" aria-hidden="true"><line x1="50" x2="50" y1="0" y2="14" class="base" /><rect x=${change < 0 ? 50 + (48 * change) / most : 50} y="3" width=${(48 * Math.abs(change)) / most} height="8" rx="2" class=${change > 0 ? "more" : "less"} /></svg></td>`;

// A side is one trace, or a group of them.
function Side({ of, id, title }) {
  const figures = of.all ?? of;
  const to = of.trace_id ? address("trace", [of.trace_id]) : address("traces", [], { q: searchOf(id) });
  return html`<a class="card" href=${to}><small>${title}</small><b class=${of.trace_id ? "" : "mono"}>${of.trace_id ? clean(of.name) : searchOf(id) || "all traces"}</b>
    ${of.all
      ? html`<span class="pair"><span>p50 <b class="num">${duration(figures.p50)}</b></span> <span>p95 <b class="num">${duration(figures.p95)}</b></span> <span>p99 <b class="num">${duration(figures.p99)}</b></span></span>`
      : html`<span class="num big">${duration(of.duration_ns)}</span>`}
    <span class="muted">${of.traces ? plural(figures.traces, "trace") : plural(of.spans, "span")}${figures.errors ? html` · <span class="bad">✖ ${of.all ? `${count(figures.errors)} · ${percent(figures.errors, figures.traces)}` : count(figures.errors)}</span>` : ""}</span>
    ${of.trace_id && html`<small class="mono">${of.trace_id}</small>`}</a>`;
}
