// The waterfall: only the rows in sight are in the document, so that 100,000 spans scroll.
import { html, memo, useEffect, useLayoutEffect, useMemo, useRef, useSignal } from "./lib.js";
import { useKeys } from "./keys.js";
import { duration, tick, ticks } from "./format.js";
import { tint } from "./colors.js";
import { pieces } from "./pieces.js";

export const ROW = 26;
const HEAD = 28;
const MORE = 8;
// Browsers stop at some 33 million pixels: beyond, the scrollbar moves in larger steps.
const MAX_PIXELS = 16e6;

export function Waterfall({ look, hits }) {
  const { trace } = look;
  const closed = look.closed.value, opened = look.opened.value;
  const rows = useMemo(() => trace.visible(closed, opened), [trace, closed, opened]);
  const levels = useMemo(() => Math.max(1, trace.deepest()), [trace]);
  const box = useRef();
  // The first time as many as there can be in sight, so that what is measured then adds little.
  const view = useSignal({ first: 0, count: Math.ceil(innerHeight / ROW), width: 900 });
  const [from, to] = look.zoom.value;
  const selected = look.row.value;
  const hit = useMemo(() => hits && new Set(hits), [hits]);

  const placeOf = (row) => {
    let low = 0, high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle] < row) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const pixels = Math.min(MAX_PIXELS, rows.length * ROW);
  const scale = pixels / Math.max(1, rows.length * ROW);

  const measure = () => {
    const { scrollTop, clientHeight, clientWidth } = box.current;
    const first = Math.max(0, Math.floor(scrollTop / scale / ROW) - MORE);
    const count = Math.ceil(clientHeight / ROW) + 2 * MORE;
    const now = view.peek();
    if (now.first !== first || now.count !== count || now.width !== clientWidth) view.value = { first, count, width: clientWidth };
  };
  useLayoutEffect(() => {
    const watch = new ResizeObserver(measure);
    watch.observe(box.current);
    return () => watch.disconnect();
  }, [scale]);
  useLayoutEffect(() => {
    const wanted = look.scrollTo.value;
    if (!wanted) return;
    const at = placeOf(wanted.row) * ROW * scale;
    const { scrollTop, clientHeight } = box.current;
    const high = clientHeight - HEAD - 2 * ROW;
    if (at < scrollTop + ROW) box.current.scrollTop = Math.max(0, at - ROW);
    else if (at > scrollTop + high) box.current.scrollTop = at - (at > scrollTop + high + 5 * ROW ? high / 2 : high);
    measure();
  }, [look.scrollTo.value, rows]);

  const step = (by) => look.select(rows[Math.max(0, Math.min(rows.length - 1, placeOf(selected) + by))], false);
  const aPage = () => Math.max(1, Math.floor(box.current.clientHeight / ROW) - 3);
  useKeys({
    j: () => step(1),
    k: () => step(-1),
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    ArrowRight: () => look.open(selected),
    ArrowLeft: () => look.close(selected),
    " ": () => look.toggle(selected),
    PageDown: () => step(aPage()),
    PageUp: () => step(-aPage()),
    Home: () => step(-rows.length),
    End: () => step(rows.length),
    g: () => step(-rows.length),
    G: () => step(rows.length),
  });
  useEffect(() => box.current?.focus({ preventScroll: true }), []);

  const { first, count, width } = view.value;
  const shown = rows.subarray(first, first + count);
  // A row keeps its elements while it is in sight; those of one that goes are the next one's that comes.
  const slots = Math.min(count, rows.length);
  const wide = Math.max(160, width * 0.5);
  const marks = ticks(from, to, Math.max(2, wide / 110));
  const at = (time) => `${(100 * (time - from)) / (to - from)}%`;
  // In a squeezed list rows stand at their place relative to what is in sight.
  const shift = scale === 1 ? 0 : box.current ? box.current.scrollTop - Math.floor(box.current.scrollTop / scale / ROW) * ROW : 0;
  return html`<div class="waterfall" ref=${box} onScroll=${measure} tabindex="0" role="treegrid" aria-label="Spans" aria-rowcount=${rows.length}
      aria-activedescendant=${selected >= 0 ? `row-${selected}` : undefined}>
    <div class="axis" role="row">
      <span role="columnheader">Span</span>
      <span role="columnheader" class="scale" aria-label="Time since the start">
        ${marks.map((time) => html`<i style=${{ left: at(time) }}>${tick(time)}</i>`)}
      </span>
      <span role="columnheader" class="right">Self</span>
    </div>
    <div class="rows" role="rowgroup" style=${{ height: `${pixels}px`, "--levels": levels }}>
      <div class="grid" aria-hidden="true" role="presentation" style=${{ height: `${pixels}px` }}><div>${marks.map((time) => html`<i style=${{ left: at(time) }} />`)}</div></div>
      ${Array.from(shown, (row, index) => html`<${Row} key=${(first + index) % slots} row=${row} top=${(first + index) * ROW + shift} place=${first + index} look=${look} from=${from} to=${to}
        isSelected=${row === selected} isClosed=${closed.has(row)} members=${trace.members(row, opened)} dim=${hit !== null && hit !== undefined && !hit.has(row)} wide=${wide} />`)}
    </div>
  </div>`;
}

const Row = memo(function Row({ row, top, place, look, from, to, isSelected, isClosed, members, dim, wide }) {
  const { trace } = look;
  const depth = trace.depths[row];
  const failed = trace.failed.has(row);
  const open = trace.hasChildren(row) || members;
  const service = trace.serviceOf(row);
  const name = trace.nameOf(row) || "(no name)";
  const saying = trace.saysOf(row);
  const marks = trace.marks[row];
  const rows = members ?? [row];
  const self = rows.reduce((sum, one) => sum + trace.selves[one], 0);
  const time = rows.reduce((sum, one) => sum + trace.durations[one], 0);
  const hidden = isClosed ? trace.below[row] : 0;
  const label = `${service} ${name}${members ? ` ${members.length} times` : ""}${failed ? ", failed" : ""}, ${duration(time)}`;
  return html`<div id=${`row-${row}`} role="row" class=${`row${isSelected ? " selected" : ""}${failed ? " failed" : ""}${dim ? " dim" : ""}`} style=${{ top: `${top}px`, ...tint(service) }}
      aria-level=${depth + 1} aria-rowindex=${place + 2} aria-selected=${isSelected} aria-expanded=${open ? !isClosed && !members : undefined} aria-label=${label}
      onClick=${() => look.select(row, false)} onDblClick=${() => look.zoomTo(row)}>
    <div class="tree" role="gridcell" style=${{ "--depth": depth }}>
      <i class=${"twist" + (open ? (isClosed || members ? " shut" : " open") : "")} aria-hidden="true" onClick=${(event) => { event.stopPropagation(); look.toggle(row); }} />
      <i class="pill" aria-hidden="true" />
      <span class="name"><b>${failed && html`<span class="bad">✖ </span>`}${name}</b>${members && html` <em class="times">×${members.length}</em>`}${
        marks && html` <em class="mark" title=${MARKS(marks)}>${marks.join(" ")}</em>`}${hidden > 0 && html` <em class="bad">✖ ${hidden}</em>`}
        <span class="muted"> ${service}${saying && html` · ${saying}`}</span></span>
    </div>
    <div class="bars" role="gridcell"><${Bars} trace=${trace} rows=${rows} from=${from} to=${to} time=${time} wide=${wide} failed=${failed} /></div>
    <div class="self num" role="gridcell">${duration(self)}</div>
  </div>`;
});

const EXPLAINED = {
  orphan: "its parent was not received: dropped, sampled out or still running",
  cycle: "its parents lead back to itself: cut here",
  duplicate: "another span has the same id",
  early: "it starts before its parent: the clocks differ; nothing was moved",
  late: "it starts after its parent has ended: left running, or the clocks differ",
  backwards: "it ends before it starts: shown with no duration",
};
const MARKS = (marks) => marks.map((mark) => EXPLAINED[mark] ?? mark).join("; ");

function Bars({ trace, rows, from, to, time, wide, failed }) {
  const { bars, path, events, left, right } = pieces(trace, rows, from, to, wide);
  if (right < 0 || left > 1) return html`<i class=${"beyond" + (right < 0 ? "" : " after")}>${right < 0 ? "‹" : "›"}</i>`;
  const per = (share) => `${100 * share}%`;
  return html`
    ${bars.map(([start, end]) => html`<i class="bar" style=${{ left: per(start), width: per(end - start) }} />`)}
    ${path.map(([start, end]) => html`<i class="bar path" style=${{ left: per(start), width: per(end - start) }} />`)}
    ${failed && html`<i class="cap" style=${{ left: per(Math.min(1, Math.max(right, 0))) }} />`}
    ${events.map((spot) => html`<i class="event" style=${{ left: per(spot) }} />`)}
    <span class="num" style=${{ left: `calc(${per(Math.min(1, Math.max(0, right)))} + 7px)` }}>${duration(time)}</span>`;
}
