// The rows of the list: only those in sight are in the document, and the one that has the keyboard.
import { html, memo, useEffect, useLayoutEffect, useRef, useSignal } from "./lib.js";
import { address } from "./route.js";
import { clean, clock, count, day, duration, isToday } from "./format.js";
import { tint } from "./colors.js";
import { Status } from "./pills.js";

const MORE = 8;
// As in the style sheet.
const narrow = matchMedia("(max-width: 900px)");
const rowHeight = () => (narrow.matches ? 60 : 39);
// So many rows before the last one, older ones are asked for.
const AHEAD = 80;

// `handle.current` is given `focus(place)`, which brings a row into sight and the keyboard to it.
export function TraceList({ of, q, seen, marked, handle }) {
  const box = useRef();
  const wanted = useRef(null);
  const anchor = useRef(null);
  const view = useSignal({ first: 0, count: 40, height: rowHeight() });
  void of.stamp.value;
  const { rows, places } = of;
  const known = places.get(seen.value);

  const measure = () => {
    if (!box.current) return;
    const height = rowHeight();
    const above = -box.current.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(above / height) - MORE);
    const count = Math.ceil(innerHeight / height) + 2 * MORE;
    const top = above > 0 ? of.rows[Math.floor(above / height)] : null;
    anchor.current = top ? { of, id: top.trace_id, above: above % height } : null;
    const now = view.peek();
    if (now.first !== first || now.count !== count || now.height !== height) view.value = { first, count, height };
    if (first + count > of.rows.length - AHEAD && !of.isWhole && !of.error) of.more();
  };
  useEffect(() => {
    addEventListener("scroll", measure, { passive: true });
    addEventListener("resize", measure);
    measure();
    return () => {
      removeEventListener("scroll", measure);
      removeEventListener("resize", measure);
    };
  }, [of]);
  // New ones on top move the others: what is in sight stays where it is.
  useLayoutEffect(() => {
    const { of: before, id, above } = anchor.current ?? {};
    const place = of.places.get(id);
    if (before === of && place !== undefined) {
      const shift = box.current.getBoundingClientRect().top + place * rowHeight() + above;
      if (Math.abs(shift) > 1) scrollBy(0, shift);
    }
    measure();
  }, [rows]);
  // When the list is as long as its rows are many.
  useLayoutEffect(() => {
    const id = wanted.current;
    if (id === null) return;
    wanted.current = null;
    const place = of.places.get(id);
    if (place === undefined) return;
    const height = rowHeight();
    const top = box.current.getBoundingClientRect().top + place * height;
    if (place === 0) scrollTo(0, 0);
    else if (top < height) scrollBy(0, top - height);
    else if (top + 2 * height > innerHeight) scrollBy(0, top + 2 * height - innerHeight);
    measure();
    box.current.querySelector(`[data-trace="${id}"]`)?.focus({ preventScroll: true });
  });
  handle.current = {
    page: () => Math.max(1, Math.floor(innerHeight / rowHeight()) - 4),
    focus: (place) => {
      wanted.current = seen.value = of.rows[place].trace_id;
      view.value = { ...view.peek() };
    },
  };

  const { first, count: most, height } = view.value;
  const shown = [];
  for (let place = first; place < Math.min(rows.length, first + most); place++) shown.push(place);
  if (known !== undefined && known < first) shown.unshift(known);
  else if (known !== undefined && known >= first + most) shown.push(known);
  return html`<ol class="list" ref=${box} aria-label="Traces, newest first" style=${{ height: `${rows.length * height}px` }}>
    ${shown.map((place) => html`<${Row} key=${rows[place].trace_id} trace=${rows[place]} top=${place * height} place=${place} total=${of.isWhole ? rows.length : -1}
      longest=${of.longest} q=${q} seen=${seen} isMarked=${marked.value === rows[place].trace_id} />`)}
  </ol>`;
}

const Row = memo(function Row({ trace, top, place, total, longest, q, seen, isMarked }) {
  const failed = trace.errors > 0;
  const look = () => (seen.value = trace.trace_id);
  return html`<li class=${isMarked ? "marked" : ""} style=${{ top: `${top}px` }} aria-posinset=${place + 1} aria-setsize=${total}>
    <a class="trace" data-trace=${trace.trace_id} href=${address("trace", [trace.trace_id], { q })} onClick=${look} onFocus=${look}>
      <span class="when num">${!isToday(trace.start_ns) && html`<small>${day(trace.start_ns).slice(5)}</small> `}${clock(trace.start_ns)}</span>
      <span class="what">
        <${Status} trace=${trace} />
        <b>${clean(trace.name) || "(no name)"}</b>
        ${isMarked && html`<em class="tag">marked</em>`}
      </span>
      <span class="services">${trace.services.slice(0, 6).map((service) => html`<i class="service" style=${tint(service)}>${clean(service)}</i>`)}${
        trace.services.length > 6 && html`<i class="muted">+${trace.services.length - 6}</i>`}</span>
      <span class="right num">${count(trace.spans)}${failed && html` <span class="bad">✖ ${count(trace.errors)}</span>`}</span>
      <span class="dur"><i class="bar" aria-hidden="true"><b style=${{ width: `${(100 * trace.duration_ns) / longest}%` }} class=${failed ? "failed" : ""} /></i><span class="num">${duration(trace.duration_ns)}</span></span>
    </a></li>`;
});
