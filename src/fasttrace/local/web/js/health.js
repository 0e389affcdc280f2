// How the tracing itself is doing: what is on disk, what was received, what was lost.
import { html } from "./lib.js";
import { version } from "./api.js";
import { useData } from "./load.js";
import { count } from "./format.js";

const bytes = (number) => (number >= 1e9 ? `${(number / 1e9).toFixed(2)} GB` : number >= 1e6 ? `${(number / 1e6).toFixed(1)} MB` : number >= 1e3 ? `${(number / 1e3).toFixed(0)} kB` : `${number} B`);
const LOSSES = /unreadable|refused|rejected|dropped|skipped|torn|damaged/;

export function Health() {
  const { data, error } = useData("health", {}, version.value);
  if (error) return html`<div class="page nothing"><p class="bad">${error.message}</p></div>`;
  if (!data) return html`<div class="page"><p class="muted">…</p></div>`;
  return html`<div class="page health"><h1>Health</h1>
    ${data.trouble && html`<p class="bad">✖ The index can't be brought up to date: ${data.trouble}</p>`}
    <div class="cards">
      <${Card} title="Store" of=${data.index} />
      <${Card} title="Receiver" of=${data.receiver} none="off: fasttrace serve --otlp 4318" />
      <${Card} title="This server" of=${{ open_pages: data.streams, ...data.server }} />
    </div>
    <p class="muted">Each process accounts for its own spans: <code>fasttrace.stats()</code>, and <code>fasttrace.metrics</code> for Prometheus. <code>fasttrace doctor</code> checks settings, receiver and disk.</p>
  </div>`;
}

function Card({ title, of, none }) {
  return html`<section class="card"><h2>${title}</h2>${of ? html`<dl class="attributes">${rows(of).map(([key, value, bad]) => html`<div><dt>${key.replaceAll("_", " ")}</dt><dd class=${"num" + (bad ? " bad" : "")}>${value}</dd></div>`)}</dl>` : html`<p class="muted">${none}</p>`}</section>`;
}

function rows(of, prefix = "") {
  return Object.entries(of).flatMap(([key, value]) => {
    const name = prefix + key;
    if (value && typeof value === "object") return Array.isArray(value) ? [[name, value.join(", "), false]] : rows(value, `${name} `);
    if (typeof value === "number") return [[name.replace(/_bytes$/, ""), /bytes$/.test(name) ? bytes(value) : count(value), value > 0 && LOSSES.test(name)]];
    return [[name, String(value ?? "–"), false]];
  });
}
