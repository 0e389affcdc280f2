// How the tracing itself is doing: each process by its own account, what is on disk, what was received, what was lost.
import { html, useEffect, useSignal } from "./lib.js";
import { dropped, version } from "./api.js";
import { useData } from "./load.js";
import { address } from "./route.js";
import { clock, count, day } from "./format.js";
import { learn, tint } from "./colors.js";

// Processes write their figures about once a second, also when no span comes of it.
const LOOK_MS = 2000;
const bytes = (number) => (number >= 1e9 ? `${(number / 1e9).toFixed(2)} GB` : number >= 1e6 ? `${(number / 1e6).toFixed(1)} MB` : number >= 1e3 ? `${(number / 1e3).toFixed(0)} kB` : `${number} B`);
const LOSSES = /unreadable|refused|rejected|dropped|skipped|torn|damaged/;
const spans = (number) => `${count(number)} ${number === 1 ? "span" : "spans"}`;

// On every view: spans that are lost are nothing to look for.
export function Lost() {
  if (!dropped.value) return null;
  return html`<span role="status"><a class="state lost" href=${address("health")}>✖ ${spans(dropped.value)} dropped</a></span>`;
}

export function Health() {
  const looks = useSignal(0);
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && looks.value++, LOOK_MS);
    return () => clearInterval(timer);
  }, []);
  const { data, error } = useData("health", {}, `${version.value} ${looks.value}`);
  if (error) return html`<div class="page nothing"><p class="bad">${error.message}</p></div>`;
  if (!data) return html`<div class="page"><p class="muted">…</p></div>`;
  return html`<div class="page health"><h1>Health</h1>
    ${data.trouble && html`<p class="bad">✖ The index can't be brought up to date: ${data.trouble}</p>`}
    <${Processes} of=${data.processes} dropped=${data.dropped} />
    <div class="cards">
      <${Card} title="Store" of=${data.index} />
      <${Card} title="Receiver" of=${data.receiver} none="off: fasttrace serve --otlp 4318" />
      <${Card} title="This server" of=${{ open_pages: data.streams, ...data.server }} />
    </div>
    <p class="muted"><code>fasttrace doctor</code> checks settings, receiver and disk, and says what helps against drops.
      Processes that send elsewhere account for themselves: <code>fasttrace.stats()</code>, and <code>fasttrace.metrics</code> for Prometheus.</p>
  </div>`;
}

function Processes({ of, dropped: lost }) {
  learn(new Set(of.map((one) => one.service)));
  const costs = [...new Set(of.flatMap((one) => Object.keys(one.cost)))];
  return html`<section><h2>Processes</h2>
    ${lost.spans > 0 && html`<p class="bad">✖ ${spans(lost.spans)} dropped: ${reasons(lost.reasons)}. Traces of that time have gaps.</p>`}
    ${!of.length && html`<p class="muted">None has written to this spool since it was emptied, but for the receiver.</p>`}
    ${of.length > 0 && html`<div class="scroll"><table class="data wide"><thead><tr>
        <th scope="col">Service</th><th scope="col" class="right">Pid</th><th scope="col">State</th><th scope="col" class="right">Queue</th>
        <th scope="col" class="right">Held</th><th scope="col" class="right">Spooled</th><th scope="col" class="right">Exported</th><th scope="col" class="right">Dropped</th>
        ${costs.map((name) => html`<th scope="col" class="right">${COSTS[name] ?? name.replaceAll("_", " ")}</th>`)}</tr></thead>
      <tbody>${of.map((one) => html`<${Process} key=${`${one.pid} ${one.start_ns}`} one=${one} costs=${costs} />`)}</tbody></table></div>`}
  </section>`;
}

// What processes say of tracing's own cost: the CPU time a span, of our thread and of all together, and its share of the process's.
const COSTS = { span_cpu_microseconds: "µs a span", thread_cpu_seconds: "Thread, CPU s", cpu_seconds: "Tracing, CPU s", cpu_percent: "% of its CPU" };
const STATES = { running: "running", ended: "ended", gone: "gone without a word" };

function Process({ one, costs }) {
  const stuck = one.queued > 0 && (one.state === "gone" || one.queued * 2 > one.max_queue_spans);
  return html`<tr>
    <td><i class="service" style=${tint(one.service)}>${one.service}</i></td><td class="right num">${one.pid}</td>
    <td class=${one.state === "running" ? "" : "muted"}>${STATES[one.state]}, heard ${ago(one.written_ns)}</td>
    <td class=${"right num" + (stuck ? " bad" : "")}>${stuck ? "✖ " : ""}${count(one.queued)} of ${count(one.max_queue_spans)}</td>
    <td class="right num">${count(one.held)}</td><td class="right num">${count(one.spooled)}</td><td class="right num">${count(one.exported)}</td>
    <td class=${"right num" + (Object.keys(one.dropped).length ? " bad" : " muted")} title=${one.last_error ?? ""}>${Object.keys(one.dropped).length ? `✖ ${reasons(one.dropped)}` : "0"}</td>
    ${costs.map((name) => html`<td class="right num">${name in one.cost ? figure(one.cost[name]) : "–"}</td>`)}
  </tr>`;
}

const reasons = (of) => Object.entries(of).map(([reason, number]) => `${reason.replaceAll("_", " ")} ${count(number)}`).join(", ");
const figure = (number) => (Number.isInteger(number) ? count(number) : number.toPrecision(3));

function ago(ns) {
  const seconds = Math.max(0, Date.now() / 1000 - Number(ns) / 1e9);
  if (seconds < 100) return `${seconds.toFixed(0)} s ago`;
  return seconds < 6000 ? `${(seconds / 60).toFixed(0)} min ago` : seconds < 172800 ? `${(seconds / 3600).toFixed(0)} h ago` : `${(seconds / 86400).toFixed(0)} days ago`;
}

function Card({ title, of, none }) {
  return html`<section class="card"><h2>${title}</h2>${of ? html`<dl class="attributes">${rows(of).map(([key, value, bad]) => html`<div><dt>${key.replaceAll("_", " ")}</dt><dd class=${"num" + (bad ? " bad" : "")}>${value}</dd></div>`)}</dl>` : html`<p class="muted">${none}</p>`}</section>`;
}

function rows(of, prefix = "") {
  return Object.entries(of).flatMap(([key, value]) => {
    const name = prefix + key;
    if (value && typeof value === "object") return Array.isArray(value) ? [[name, value.join(", "), false]] : rows(value, `${name} `);
    if (typeof value === "number") return [[name.replace(/_bytes$/, "_size"), /bytes$/.test(name) ? bytes(value) : count(value), value > 0 && LOSSES.test(name)]];
    if (value && key.endsWith("_ns")) return [[name.replace(/_ns$/, "_trace"), `${day(value)} ${clock(value, 0)}`, false]];
    return [[name, String(value ?? "–"), false]];
  });
}
