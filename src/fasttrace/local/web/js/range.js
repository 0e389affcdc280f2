// A range in a search, as dragging over a chart sets it: to be taken out again, or compared with the rest.
import { html } from "./lib.js";
import { change, go } from "./route.js";

const pattern = (field) => new RegExp(`(^|\\s)-?${field.replace(".", "\\.")}(?:[<>]=?|=)\\S+`, "g");

export const without = (q, field) => q.replace(pattern(field), " ").replace(/\s+/g, " ").trim();

export function setRange(q, field, from, to) {
  if (from !== to) change({ q: `${without(q, field)} ${field}=${from}..${to}`.trim() }, false);
}

const FIELDS = ["trace.start", "trace.dur"];

// The search with its range, and what it finds but for that; null without a range.
export function withTheRest(q) {
  for (const field of FIELDS) {
    const found = q.match(new RegExp(`(?:^|\\s)(${field.replace(".", "\\.")}=\\S+\\.\\.\\S*)`))?.[1];
    if (found) return [`${without(q, field)} -${found}`.trim(), q];
  }
  return null;
}

export function Range({ q, field, what }) {
  const has = pattern(field).test(q);
  if (!has) return html`<span class="hint">drag to narrow</span>`;
  const sides = withTheRest(q);
  return html`<span class="hint">
    ${sides?.[0].includes(`-${field}`) && html`<button title="compare what is in this range with the rest (c)" onClick=${() => go("compare", sides)}>compare with the rest</button> `}
    <button onClick=${() => change({ q: without(q, field) }, false)}aria-label=${`all ${what}`}>all</button></span>`;
}
