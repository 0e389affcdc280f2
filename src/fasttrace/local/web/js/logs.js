// What was said during the trace, in the order of time, beside the spans it belongs to.
import { html } from "./lib.js";
import { version } from "./api.js";
import { useData } from "./load.js";
import { clean, duration } from "./format.js";
import { tint } from "./colors.js";

const MESSAGE_KEYS = ["log.message", "message", "exception.message", "body"];
const LEVEL_KEYS = ["log.severity", "log.level", "level", "severity"];

export function Logs({ look }) {
  const { data, error } = useData(`trace/${look.trace.trace_id}/events`, {}, version.value);
  if (error) return html`<p class="bad pad">${error.message}</p>`;
  if (!data) return html`<p class="muted pad">reading…</p>`;
  if (!data.events.length) return html`<p class="muted pad">No span of this trace has an event or a log record.</p>`;
  return html`<div class="scroller" tabindex="0" role="region" aria-label="Events and logs"><ol class="loglist">
    ${data.events.map((event) => {
      const said = MESSAGE_KEYS.map((key) => event.attributes[key]).find((text) => text !== undefined);
      const level = LEVEL_KEYS.map((key) => event.attributes[key]).find((text) => text !== undefined) ?? (event.name === "exception" ? "exception" : "");
      const bad = /error|critical|fatal|exception/i.test(String(level));
      return html`<li class=${look.row.value === event.row ? "selected" : ""}><button onClick=${() => look.select(event.row)}>
        <span class="num">${duration(event.time)}</span>
        <i class="service" style=${tint(clean(event.service))}>${clean(event.service)}</i>
        <span class=${"level" + (bad ? " bad" : "")}>${bad ? "✖ " : ""}${level || event.name}</span>
        <span class="text">${said !== undefined ? String(said) : event.name} <span class="muted">${Object.entries(event.attributes)
          .filter(([key]) => !MESSAGE_KEYS.includes(key) && !LEVEL_KEYS.includes(key) && key !== "exception.stacktrace")
          .slice(0, 5)
          .map(([key, value]) => `${key}=${typeof value === "object" ? JSON.stringify(value) : value}`)
          .join("  ")}</span></span>
      </button></li>`;
    })}</ol></div>`;
}
