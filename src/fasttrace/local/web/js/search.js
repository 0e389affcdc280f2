// The search box: one language everywhere; what is wrong is said under it, at its place.
import { html, useEffect, useRef, useSignal } from "./lib.js";
import { change, route } from "./route.js";
import { inFile } from "./api.js";
import { plural } from "./format.js";

let box = null;
export function focusSearch() {
  box?.focus();
  box?.select();
}

const CHIPS = [["errors", "status=error"], ["slower than 500 ms", "trace.dur>500ms"], ["5xx", "code>=500"]];

export function Search({ error, found, loading }) {
  if (inFile) return null;
  const { q = "" } = route.value.params;
  const text = useSignal(q);
  const input = useRef();
  const timer = useRef();
  useEffect(() => {
    box = input.current;
    return () => (box = null);
  }, []);
  useEffect(() => {
    if (document.activeElement !== input.current || text.peek().trim() !== q) text.value = q;
  }, [q]);
  const submit = (now) => {
    clearTimeout(timer.current);
    const run = () => change({ q: text.value.trim() });
    if (now) run();
    else timer.current = setTimeout(run, 250);
  };
  const toggle = (term) => {
    const terms = q.split(" ").filter(Boolean);
    text.value = terms.includes(term) ? terms.filter((one) => one !== term).join(" ") : [...terms, term].join(" ");
    submit(true);
  };
  const wrong = error?.status === 400;
  return html`<form class="search" role="search" onSubmit=${(event) => { event.preventDefault(); submit(true); input.current.blur(); }}>
    <label class="offscreen" for="q">Search traces</label>
    <span class="field">
      <svg aria-hidden="true" viewBox="0 0 16 16" width="15" height="15"><circle cx="7" cy="7" r="4.6" fill="none" stroke="currentColor" stroke-width="1.5" /><path d="m10.6 10.6 3.4 3.4" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" /></svg>
      <input id="q" ref=${input} value=${text.value} spellcheck=${false} autocomplete="off" autocapitalize="off"
        placeholder='service=inventory dur>500ms status=error http.route~"/orders*"'
        aria-invalid=${wrong} aria-describedby="search-said"
        onInput=${(event) => { text.value = event.target.value; submit(false); }}
        onKeyDown=${(event) => event.key === "Escape" && (event.stopPropagation(), input.current.blur())} />
      <kbd aria-hidden="true">/</kbd>
    </span>
    <span class="chips">${CHIPS.map(([title, term]) => html`<button type="button" class="chip" aria-pressed=${q.split(" ").includes(term)} onClick=${() => toggle(term)}>${title}</button>`)}</span>
    <span id="search-said" class=${"found" + (error ? " bad" : "")} role="status">
      ${error ? html`<b>✖</b> ${error.message}` : found !== undefined && found !== null ? plural(found, "trace") : loading ? "…" : ""}</span>
  </form>`;
}
