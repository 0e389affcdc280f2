import { html } from "./lib.js";
import { inFile } from "./api.js";

// Whether it is open only the element knows: Esc closes it, and tells of it later.
const dialog = { current: null };
export const toggleHelp = () => (dialog.current.open ? dialog.current.close() : dialog.current.showModal());

const TABLES = [
  ["Everywhere", [...(inFile ? [["1 2 3", "traces, map, routes"], ["/", "find in a trace"]] : [["1 … 5", "traces, map, routes, compare, health"], ["/", "search"], ["p", "pause or resume live updates"]]), ["?", "these keys"], ["Esc", "close, or back"]]],
  ["List", [["j k ↓ ↑", "next, previous trace"], ["Enter", "open it"], ...(inFile ? [] : [["x", "mark; the second mark compares"], ["c", "compare what was dragged over with the rest"]]), ["PgUp PgDn", "a screenful"], ["g G", "newest, oldest"]]],
  ...(inFile ? [] : [["Comparison", [["s", "swap the sides"], ["Esc", "back to the list"]]]]),
  ["Trace", [["j k ↓ ↑", "next, previous span"], ["← →", "close or parent, open or first child"], ["[ ]", "fewer, more levels"], ["e E", "next, previous error"], ["c", "next span on the critical path"], ["n N", "next, previous hit of the search"], ["y Y", "copy span id, trace id"], ["v", "waterfall, flame, table, logs"], ["z", "zoom to the span; again for all"], ["Enter", "details: to the panel"]]],
];

export function Help() {
  return html`<dialog class="help" ref=${dialog} aria-labelledby="help-title"
    onKeyDown=${(event) => event.key === "?" && (event.preventDefault(), toggleHelp())} onClick=${(event) => event.target === dialog.current && toggleHelp()}>
    <h2 id="help-title">Keys</h2>
    <div class="columns">
      ${TABLES.map(
        ([title, keys]) => html`<section><h3>${title}</h3><dl>
          ${keys.map(([key, what]) => html`<div><dt>${key.split(" ").map((one) => html`<kbd>${one}</kbd> `)}</dt><dd>${what}</dd></div>`)}
        </dl></section>`,
      )}
    </div>
    ${!inFile && html`<h3>Search</h3>
    <p><code>service=inventory dur>500ms status=error http.route~"/orders*"</code> finds traces with a span that is all of that.
      A minus turns a term round; words are looked for everywhere; <code>trace.dur</code>, <code>trace.spans</code> and
      <code>trace.errors</code> are of the whole trace.</p>`}
    <button onClick=${toggleHelp}>Close</button>
  </dialog>`;
}
