// All there is of one span. Every text is a text node: what services send is shown, never run.
import { html, useEffect, useSignal } from "./lib.js";
import { address } from "./route.js";
import { get, inFile } from "./api.js";
import { duration, percent, quoted } from "./format.js";
import { tint } from "./colors.js";
import { copy } from "./say.js";

export function Details({ look, panel }) {
  const { trace } = look;
  const row = look.row.value;
  const state = useSignal({ row: -1, found: null, error: "" });
  useEffect(() => {
    if (row < 0) return undefined;
    const stop = new AbortController();
    // While a key is held down nothing is asked for.
    const timer = setTimeout(async () => {
      try {
        state.value = { row, found: await get(`trace/${trace.trace_id}/span/${row}`, {}, stop.signal), error: "" };
      } catch (error) {
        if (error.name !== "AbortError") state.value = { row, found: null, error: error.message };
      }
    }, state.peek().found ? 60 : 0);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [row, trace]);
  if (row < 0) return null;
  const { found, error } = state.value;
  const ready = found && state.value.row === row;
  const service = trace.serviceOf(row);
  const failed = trace.failed.has(row);
  return html`<aside class="details" ref=${panel} tabindex="-1" aria-label="Span">
    <h2><i class="service" style=${tint(service)}>${service}</i><span>${failed && html`<span class="bad">✖ </span>`}${trace.nameOf(row) || "(no name)"}</span></h2>
    <dl class="figures">
      <div><dt>Duration</dt><dd class="num">${duration(trace.durations[row])}</dd></div>
      <div><dt>Self</dt><dd class="num">${duration(trace.selves[row])}</dd></div>
      <div><dt>Starts at</dt><dd class="num">${duration(trace.starts[row])}</dd></div>
      <div><dt>Of the trace</dt><dd class="num">${percent(trace.durations[row], trace.duration_ns)}</dd></div>
      <div><dt>Kind</dt><dd>${trace.kindOf(row)}</dd></div>
      <div><dt>Status</dt><dd class=${failed ? "bad" : ""}>${trace.statusOf(row) || (failed ? "error" : "–")}</dd></div>
    </dl>
    ${error && html`<p class="bad">${error}</p>`}
    ${ready && found.message && html`<p class="message">${found.message}</p>`}
    ${ready && found.marks.length > 0 && html`<p class="muted">${found.marks.join(", ")}</p>`}
    ${ready && found.events.length > 0 && html`<h3>Events and logs</h3><ol class="events">
      ${found.events.map((event) => html`<li><span class="num">${duration(event.time)}</span> <b>${event.name}</b><${Attributes} of=${event.attributes} /></li>`)}</ol>`}
    ${ready && html`<h3>Attributes</h3><${Attributes} of=${found.attributes} service=${service} />`}
    ${ready && found.links.length > 0 && html`<h3>Links</h3><ul class="links">${found.links.map(
      (link) => html`<li><a class="mono" href=${address("trace", [link.trace_id], { span: link.span_id })}>${link.trace_id}</a><${Attributes} of=${link.attributes} /></li>`)}</ul>`}
    ${ready && html`<h3>Resource</h3><${Attributes} of=${found.resource} />`}
    <h3>Ids</h3>
    <dl class="attributes">
      <div><dt>span</dt><dd><button class="link mono" title="copy (y)" onClick=${() => copy(trace.ids[row], "span id")}>${trace.ids[row]}</button></dd></div>
      <div><dt>parent</dt><dd class="mono">${ready ? found.parent_id || "–" : ""}</dd></div>
      <div><dt>trace</dt><dd><button class="link mono" title="copy (Y)" onClick=${() => copy(trace.trace_id, "trace id")}>${trace.trace_id}</button></dd></div>
      ${ready && found.scope && html`<div><dt>scope</dt><dd>${found.scope}</dd></div>`}
    </dl>
  </aside>`;
}

export function Attributes({ of, service }) {
  const entries = Object.entries(of ?? {});
  if (!entries.length) return service === undefined ? null : html`<p class="muted">none</p>`;
  return html`<dl class="attributes">${entries.map(([key, value]) => html`<div key=${key}><dt>${breakable(key)}</dt><dd><${Value} value=${value} />${
    !inFile && service !== undefined && typeof value !== "object" && String(value).length < 200 &&
    html` <a class="filter" href=${address("traces", [], { q: `${/^[A-Za-z_][\w.\-/]*$/.test(key) && key.includes(".") ? key : "." + key}=${quoted(String(value))}` })} title="traces with a span that has this" aria-label=${`traces with this ${key}`}>⌕</a>`
  }</dd></div>`)}</dl>`;
}

// Long keys break behind their dots.
const breakable = (key) => key.split(/(?<=[._])/).flatMap((part) => [part, html`<wbr />`]);

const LONG = 600;

function Value({ value }) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, Array.isArray(value) ? 0 : 1);
  const all = useSignal(false);
  if (text.length <= LONG || all.value) return html`<span class=${typeof value === "object" ? "text mono" : "text"}>${text}</span>`;
  return html`<span class="text">${text.slice(0, LONG)}… <button class="link" onClick=${() => (all.value = true)}>all ${text.length.toLocaleString("en-US")} characters</button></span>`;
}
