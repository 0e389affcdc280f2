// Two traces side by side: the same calls stand in one row; the change is in the spans' own time.
import { html, useSignal } from "./lib.js";
import { address, go, route } from "./route.js";
import { version } from "./api.js";
import { useData } from "./load.js";
import { useKeys } from "./keys.js";
import { count, duration, plural } from "./format.js";
import { learn, tint } from "./colors.js";

export function Compare() {
  const [a = "", b = ""] = route.value.rest;
  const { data, error } = useData(a && b ? "compare" : "", { a, b });
  useKeys({ Escape: () => go("traces"), s: () => a && b && go("compare", [b, a]) });
  if (!a || !b) return html`<${Choose} a=${a} />`;
  if (error) return html`<div class="page nothing"><p class="bad">${error.message}</p></div>`;
  if (!data) return html`<div class="page"><p class="muted">comparing…</p></div>`;
  return html`<${Compared} data=${data} a=${a} b=${b} />`;
}

function Choose({ a }) {
  const first = useSignal(a), second = useSignal("");
  const { data } = useData("traces", { limit: 8 }, version.value);
  const submit = (event) => {
    event.preventDefault();
    if (first.value.trim() && second.value.trim()) go("compare", [first.value.trim(), second.value.trim()]);
  };
  return html`<div class="page"><h1>Compare two traces</h1>
    <p class="muted">Mark one with <kbd>x</kbd> in the list or in a trace, then another; or name them here: the start of an id, <code>slow</code> or <code>last</code>. A range of time (<code>20m..10m</code>) or a search is a group of traces.</p>
    <form class="choose" onSubmit=${submit}>
      <label>Before <input class="mono" value=${first.value} list="recent" onInput=${(event) => (first.value = event.target.value)} placeholder="last" /></label>
      <label>After <input class="mono" value=${second.value} list="recent" onInput=${(event) => (second.value = event.target.value)} placeholder="slow" /></label>
      <datalist id="recent">${data?.traces?.map((trace) => html`<option value=${trace.trace_id}>${trace.name} ${duration(trace.duration_ns)}</option>`)}</datalist>
      <button>Compare</button>
    </form></div>`;
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
  return html`<div class="page compare">
    <h1 class="offscreen">Comparison</h1>
    <div class="versus">
      <${Side} of=${data.a} id=${a} title="Before" /><${Side} of=${data.b} id=${b} title="After" />
      <div class="verdict"><span class="num big">${sign(data.change)}${duration(Math.abs(data.change))}</span>
        <span>${data.change > 0 ? "slower" : data.change < 0 ? "faster" : "as long"}${top && data.change !== 0 ? html`, most in <b>${top.service} ${top.name}</b> (${sign(top.change)}${duration(Math.abs(top.change))})` : ""}</span>
        <button onClick=${() => go("compare", [b, a])}>swap (s)</button>
        <button aria-pressed=${changed.value} onClick=${() => (changed.value = !changed.value)}>changes only</button></div>
    </div>
    <table class="data wide"><thead><tr><th scope="col">Span</th><th scope="col" class="right">Spans</th><th scope="col" class="right">Before</th><th scope="col" class="right">After</th><th scope="col" class="right">Self before</th><th scope="col" class="right">Self after</th><th scope="col" class="right">Change</th><th scope="col"><span class="offscreen">Change, drawn</span></th></tr></thead>
      <tbody>${shown.map((row) => html`<tr key=${row.place} class=${(largest.has(row.place) ? "largest" : "") + (!row.a ? " new" : !row.b ? " gone" : "")}>
        <td><span style=${{ paddingLeft: `${Math.min(row.depth, 20) * 14}px` }}><i class="service" style=${tint(row.service)}>${row.service}</i> ${row.name}${!row.a ? html` <em class="tag">new</em>` : !row.b ? html` <em class="tag">gone</em>` : ""}</span></td>
        <td class="right num">${row.a?.spans === row.b?.spans ? row.a.spans : `${row.a?.spans ?? 0} → ${row.b?.spans ?? 0}`}${(row.b?.errors ?? 0) + (row.a?.errors ?? 0) > 0 && html` <span class="bad">✖ ${row.a?.errors ?? 0} → ${row.b?.errors ?? 0}</span>`}</td>
        <td class="right num">${row.a ? duration(row.a.duration) : "–"}</td><td class="right num">${row.b ? duration(row.b.duration) : "–"}</td>
        <td class="right num muted">${row.a ? duration(row.a.self) : "–"}</td><td class="right num muted">${row.b ? duration(row.b.self) : "–"}</td>
        <td class="right num"><b>${row.change === 0 ? "–" : sign(row.change) + duration(Math.abs(row.change))}</b></td>
        <td class="diff"><svg width="140" height="14" aria-hidden="true"><line x1="70" x2="70" y1="0" y2="14" class="base" /><rect x=${row.change < 0 ? 70 + (68 * row.change) / most : 70} y="3" width=${(68 * Math.abs(row.change)) / most} height="8" rx="2" class=${row.change > 0 ? "more" : "less"} /></svg></td>
      </tr>`)}</tbody></table>
    ${rows.length > MOST_ROWS && html`<p class="muted">${count(rows.length - MOST_ROWS)} more rows; “changes only” shows those that matter.</p>`}
  </div>`;
}

// A side is one trace, or a group of them: a search or a range of time.
const Side = ({ of, title }) => html`<a class="card" href=${of.trace_id ? address("trace", [of.trace_id]) : address("traces", [])}><small>${title}</small><b>${of.name}</b>
  <span class="num big">${duration(of.duration_ns)}</span><span class="muted">${of.traces ? plural(of.traces, "trace") : plural(of.spans, "span")}${of.errors ? html` · <span class="bad">✖ ${count(of.errors)}</span>` : ""}</span><small class="mono">${of.trace_id}</small></a>`;
