// One trace: its head, the views of it, the selected span's details, and the keys that walk it.
import { html, signal, useEffect, useMemo, useRef } from "./lib.js";
import { address, change, go, route } from "./route.js";
import { inFile, version } from "./api.js";
import { useData } from "./load.js";
import { useKeys } from "./keys.js";
import { clock, date, day, duration, plural, quoted } from "./format.js";
import { learn, tint } from "./colors.js";
import { Trace } from "./model.js";
import { mark } from "./marks.js";
import { Status } from "./pills.js";
import { Waterfall } from "./waterfall.js";
import { Flame } from "./flame.js";
import { Table } from "./table.js";
import { Logs } from "./logs.js";
import { Details } from "./details.js";
import { Histogram } from "./histogram.js";
import { Minimap } from "./minimap.js";
import { copy, say } from "./say.js";

const GROWS_MS = 120_000;
const VIEWS = [["", "Waterfall"], ["flame", "Flame"], ["table", "Table"], ["logs", "Logs"]];

// What one looks at of a trace, shared by its views.
export class Look {
  constructor(trace) {
    this.trace = trace;
    this.row = signal(-1);
    this.closed = signal(new Set());
    this.opened = signal(new Set());
    this.zoom = signal([trace.from, trace.until]);
    this.find = signal("");
    this.level = trace.deepest();
    this.scrollTo = signal(null);
  }

  // What was looked at before the trace grew: rows have other numbers since.
  keep(before) {
    const { trace } = this, old = before.trace;
    const now = (row) => trace.rowOf.get(old.ids[row]) ?? -1;
    const all = (rows) => new Set([...rows].map(now));
    const [from, to] = before.zoom.value;
    const later = Number(BigInt(old.start_ns) - BigInt(trace.start_ns));
    this.written = before.written;
    this.row.value = now(before.row.value);
    this.closed.value = all(before.closed.value);
    this.opened.value = all(before.opened.value);
    this.find.value = before.find.value;
    if (from !== old.from || to !== old.until) this.zoom.value = [from + later, to + later];
    if (before.level < old.deepest()) this.level = before.level;
  }

  select(row, reveal = true) {
    if (row < 0 || row >= this.trace.count) return;
    if (reveal) this.reveal(row);
    this.row.value = row;
    this.scrollTo.value = { row };
    clearTimeout(this.writing);
    // Browsers stop pages that write the address too often.
    this.writing = setTimeout(() => {
      this.written = this.trace.ids[row];
      if (route.value.page === "trace") change({ span: this.written });
    }, 200);
  }

  reveal(row) {
    const closed = new Set(this.closed.value), opened = new Set(this.opened.value);
    for (let up = row, first = true; up >= 0; up = this.trace.parents[up], first = false) {
      if (!first) closed.delete(up);
      const fold = this.trace.foldOf.get(up);
      if (fold !== undefined && fold !== up) opened.add(fold);
    }
    if (closed.size !== this.closed.value.size) this.closed.value = closed;
    if (opened.size !== this.opened.value.size) this.opened.value = opened;
  }

  toggle(row) {
    if (this.trace.members(row, this.opened.value)) return this.open(row);
    if (!this.trace.hasChildren(row)) return undefined;
    const closed = new Set(this.closed.value);
    if (!closed.delete(row)) closed.add(row);
    this.closed.value = closed;
  }

  open(row) {
    if (this.trace.members(row, this.opened.value)) this.opened.value = new Set(this.opened.value).add(row);
    else if (this.closed.value.has(row)) this.toggle(row);
    else if (this.trace.hasChildren(row)) this.select(row + 1);
  }

  close(row) {
    const { trace } = this;
    if (trace.hasChildren(row) && !this.closed.value.has(row)) return this.toggle(row);
    if (trace.fold.has(row) && this.opened.value.has(row)) {
      const opened = new Set(this.opened.value);
      opened.delete(row);
      this.opened.value = opened;
    } else if (trace.parents[row] >= 0) this.select(trace.parents[row]);
  }

  toLevel(step) {
    this.level = Math.max(0, Math.min(this.trace.deepest(), this.level + step));
    this.closed.value = this.trace.closedAt(this.level);
    say(this.level >= this.trace.deepest() ? "all levels" : plural(this.level + 1, "level"));
  }

  // The next of some rows after the selected one, or before it, round the end.
  next(rows, step, what) {
    if (!rows.length) return say(`no ${what}`);
    const now = this.row.value;
    const found = step > 0 ? rows.find((row) => row > now) ?? rows[0] : rows.findLast((row) => row < now) ?? rows.at(-1);
    this.select(found);
  }

  zoomTo(row) {
    const { trace } = this;
    const [from, to] = this.zoom.value;
    const whole = from === trace.from && to === trace.until;
    if (!whole || row < 0) this.zoom.value = [trace.from, trace.until];
    else this.zoom.value = [trace.starts[row], trace.starts[row] + Math.max(1, trace.durations[row])];
  }
}

export function TracePage() {
  const { rest, params } = route.value;
  const id = rest[0] ?? "";
  // Only a trace that had a span in the last minutes can still grow.
  const fresh = useRef(true);
  const { data, error } = useData(`trace/${id}`, {}, fresh.current ? version.value : 0);
  const held = useRef(null);
  const look = useMemo(() => {
    if (!data) return null;
    if (held.current && held.current.trace.trace_id === data.trace_id && held.current.trace.count === data.count) return held.current;
    learn(data.services);
    const fresh = new Look(new Trace(data));
    if (held.current?.trace.trace_id === data.trace_id) fresh.keep(held.current);
    return (held.current = fresh);
  }, [data]);
  if (look) fresh.current = Date.now() - date(look.trace.start_ns) - look.trace.until / 1e6 < GROWS_MS;
  useEffect(() => {
    if (!look) return;
    const row = look.trace.rowOf.get(params.span);
    // What it has written itself says where one was, not where one wants to go.
    if (row !== undefined && params.span !== look.written && look.trace.ids[look.row.value] !== params.span) look.select(row);
    else if (look.row.value < 0) look.select(look.trace.root ?? 0);
  }, [look, params.span]);
  useKeys({ Escape: () => go("traces", [], { q: params.q }) });
  if (error && !look) return html`<div class="page nothing"><p><b>${error.message}</b></p><p><a href=${address("traces")}>All traces</a></p></div>`;
  if (!look) return html`<div class="page"><p class="muted" role="status">reading the trace…</p></div>`;
  return html`<${Shown} look=${look} />`;
}

function Shown({ look }) {
  const { params } = route.value;
  const { trace } = look;
  const view = VIEWS.some(([name]) => name === params.view) ? params.view : "";
  const find = useRef();
  const hits = useMemo(() => trace.hits(look.find.value), [look.find.value, trace]);
  const logs = Object.values(trace.events).reduce((sum, events) => sum + events.length, 0);
  const failed = [...trace.failed_rows];
  const panel = useRef();
  useKeys({
    e: () => look.next(failed, 1, "errors in this trace"),
    E: () => look.next(failed, -1, "errors in this trace"),
    c: () => look.next([...trace.onPath].sort((one, other) => one - other), 1, "critical path"),
    n: () => look.next(hits, 1, "hits"),
    N: () => look.next(hits, -1, "hits"),
    y: () => copy(trace.ids[look.row.value], "span id"),
    Y: () => copy(trace.trace_id, "trace id"),
    v: () => change({ view: VIEWS[(VIEWS.findIndex(([name]) => name === view) + 1) % VIEWS.length][0] }),
    z: () => look.zoomTo(look.row.value),
    "[": () => look.toLevel(-1),
    "]": () => look.toLevel(1),
    "/": () => find.current?.focus(),
    x: () => mark(trace.trace_id),
    Enter: () => panel.current?.focus(),
  });
  return html`<div class="tracepage">
    <${Head} trace=${trace} look=${look} />
    <div class="tools">
      <div class="tabs" role="group" aria-label="View">
        ${VIEWS.map(([name, title]) => html`<button aria-pressed=${view === name} onClick=${() => change({ view: name })}>${title}${name === "logs" && logs > 0 ? html` <small>${logs}</small>` : ""}</button>`)}
      </div>
      <span class="field small"><input ref=${find} value=${look.find.value} placeholder="find in this trace" aria-label="Find in this trace"
        spellcheck=${false} autocomplete="off" onInput=${(event) => (look.find.value = event.target.value)}
        onKeyDown=${(event) => {
          if (event.key === "Enter") { event.preventDefault(); look.next(hits, event.shiftKey ? -1 : 1, "hits"); }
          if (event.key === "Escape") { event.stopPropagation(); look.find.value = ""; find.current.blur(); }
        }} /><kbd aria-hidden="true">/</kbd></span>
      ${look.find.value && html`<span class=${hits.length ? "muted" : "bad"} role="status">${plural(hits.length, "span")}</span>`}
      <span class="spring" />
      <span class="legend" aria-hidden="true"><i class="onpath" /> critical path <i class="offpath" /> rest of the span <i class="ev" /> event</span>
    </div>
    <div class="split">
      <div class="view">
        ${view !== "logs" && view !== "table" && html`<${Minimap} look=${look} />`}
        ${view === "flame" ? html`<${Flame} look=${look} />` : view === "table" ? html`<${Table} look=${look} />` : view === "logs" ? html`<${Logs} look=${look} />` : html`<${Waterfall} look=${look} hits=${look.find.value ? hits : null} />`}
      </div>
      <${Details} look=${look} panel=${panel} />
    </div>
  </div>`;
}

function Head({ trace, look }) {
  const { q } = route.value.params;
  // Asked for on its own: it takes longer than the rest.
  const { data } = useData(`trace/${trace.trace_id}/diagnosis`, {}, trace.count);
  const root = trace.root ?? 0;
  const service = trace.serviceOf(root);
  const alike = `trace.service=${quoted(service)} trace.name=${quoted(trace.name)}`;
  return html`<section class="head" aria-label="Trace">
    <div class="alike"><${Histogram} q=${alike} mark=${trace.duration_ns} quiet=${true} title="Traces like this" /></div>
    <div class="line">
      <a class="quiet back" href=${address("traces", [], { q })} aria-label="Back to the list (Esc)" title="back (Esc)">←</a>
      <h1><i class="service" style=${tint(service)}>${service}</i> <span class="title" title=${trace.name}>${trace.name || "(no name)"}</span></h1>
      <${Status} trace=${{ status: trace.status }} />
      <b class="num big">${duration(trace.duration_ns)}</b>
    </div>
    <div class="line facts">
      <span>${day(trace.start_ns)} <span class="num">${clock(trace.start_ns)}</span></span>
      <span>${plural(trace.count, "span")}</span>
      <span>${plural(trace.services.length, "service")}</span>
      ${trace.failed.size > 0 && html`<button class="link bad" onClick=${() => look.next([...trace.failed_rows], 1, "errors")}>✖ ${plural(trace.failed.size, "error")}</button>`}
      ${trace.keep_reason && html`<span>kept because of <b>${String(trace.keep_reason)}</b></span>`}
      ${trace.missing_parents?.length > 0 && html`<span title=${trace.missing_parents.join(" ")}>${plural(trace.missing_parents.length, "parent")} not received: dropped, sampled out or still running</span>`}
      <button class="link mono" title="copy the trace id (Y)" onClick=${() => copy(trace.trace_id, "trace id")}>${trace.trace_id}</button>
      ${!inFile && html`<a href=${address("traces", [], { q: alike })}>traces like this</a>`}
    </div>
    ${data?.diagnosis.map(
      (found) => html`<button class="diagnosis" onClick=${() => look.select(trace.rowOf.get(found.span_id) ?? 0)} title="go to the span that shows it">
        <svg aria-hidden="true" viewBox="0 0 16 16" width="14" height="14"><path d="M8 1.5a4.6 4.6 0 0 0-2.6 8.4c.5.4.8.9.8 1.5v.4h3.6v-.4c0-.6.3-1.1.8-1.5A4.6 4.6 0 0 0 8 1.5ZM6.4 13.4h3.2" fill="none" stroke="currentColor" stroke-width="1.3" stroke-linecap="round" /></svg>
        <span>${found.text.split("`").map((part, place) => (place % 2 ? html`<code>${part}</code>` : part))}</span></button>`,
    )}
  </section>`;
}
