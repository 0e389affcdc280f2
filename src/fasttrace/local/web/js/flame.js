// The flame view, on a canvas: what is above what, as wide as it took long.
import { html, useEffect, useRef, useSignal } from "./lib.js";
import { canvasColor } from "./colors.js";
import { duration, tick, ticks } from "./format.js";
import { useKeys } from "./keys.js";

const LEVEL = 22;
const TOP = 22;

export function Flame({ look }) {
  const { trace } = look;
  const canvas = useRef();
  const box = useRef();
  const over = useSignal(null);
  const [from, to] = look.zoom.value;
  const levels = useLevels(trace);
  useEffect(() => {
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const paint = () => canvas.current && draw(canvas.current, box.current, trace, levels, look, scheme.matches);
    paint();
    const watch = new ResizeObserver(paint);
    watch.observe(box.current);
    scheme.addEventListener("change", paint);
    return () => {
      watch.disconnect();
      scheme.removeEventListener("change", paint);
    };
  }, [trace, from, to, look.row.value]);
  const hit = (event) => {
    const { left, top, width } = canvas.current.getBoundingClientRect();
    const level = Math.floor((event.clientY - top - TOP) / LEVEL);
    const time = from + ((event.clientX - left) / width) * (to - from);
    const near = ((to - from) / width) * 2;
    return levels.rows[level]?.findLast((row) => trace.starts[row] - near <= time && trace.starts[row] + trace.durations[row] + near >= time) ?? -1;
  };
  const sideways = (step) => {
    const row = look.row.value;
    const same = levels.rows[levels.of[row]] ?? [];
    const next = same[same.indexOf(row) + step];
    if (next !== undefined) look.select(next);
  };
  useKeys({
    ArrowUp: () => trace.parents[look.row.value] >= 0 && look.select(trace.parents[look.row.value]),
    ArrowDown: () => trace.hasChildren(look.row.value) && look.select(look.row.value + 1),
    ArrowLeft: () => sideways(-1),
    ArrowRight: () => sideways(1),
  });
  return html`<div class="flame" ref=${box} tabindex="0" role="region" aria-label="Flame view; the table and the waterfall hold the same">
    <canvas ref=${canvas} role="img" aria-label=${`${trace.count} spans on ${levels.rows.length} levels`} style=${{ height: `${TOP + levels.rows.length * LEVEL + 4}px` }}
      onClick=${(event) => hit(event) >= 0 && look.select(hit(event))} onDblClick=${(event) => look.zoomTo(hit(event))}
      onMouseMove=${(event) => { const row = hit(event); over.value = row >= 0 ? { row, x: event.offsetX, y: event.offsetY } : null; }} onMouseLeave=${() => (over.value = null)} />
    ${over.value && html`<div class="tip" style=${{ left: `${over.value.x}px`, top: `${over.value.y + 16}px` }}><b>${trace.nameOf(over.value.row)}</b> <span class="muted">${trace.serviceOf(over.value.row)}</span> <span class="num">${duration(trace.durations[over.value.row])}</span></div>`}
  </div>`;
}

// Siblings that overlap in time go to levels of their own, so that nothing hides another.
function useLevels(trace) {
  const held = useRef();
  if (held.current?.trace === trace) return held.current;
  const of = new Int32Array(trace.count);
  const rows = [], ends = [];
  const MOST = 120;
  for (let row = 0; row < trace.count; row++) {
    const start = trace.starts[row], parent = trace.parents[row];
    let level = parent >= 0 ? of[parent] + 1 : 0;
    while (level < MOST && ends[level] !== undefined && ends[level] > start) level++;
    level = Math.min(level, MOST);
    of[row] = level;
    for (let at = rows.length; at <= level; at++) rows[at] = [];
    rows[level].push(row);
    ends[level] = Math.max(ends[level] ?? 0, start + trace.durations[row]);
  }
  for (const level of rows) level.sort((one, other) => trace.starts[one] - trace.starts[other]);
  return (held.current = { trace, of, rows });
}

function draw(canvas, box, trace, levels, look, dark) {
  const ratio = devicePixelRatio || 1;
  const width = box.clientWidth;
  const height = Math.min(8000, TOP + levels.rows.length * LEVEL + 4);
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const paint = canvas.getContext("2d");
  paint.scale(ratio, ratio);
  paint.font = "12px ui-sans-serif, system-ui, Inter, sans-serif";
  paint.textBaseline = "middle";
  const [from, to] = look.zoom.value;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ink = css("--ink"), muted = css("--muted"), line = css("--line"), error = css("--error"), accent = css("--accent");
  const x = (time) => ((time - from) / (to - from)) * width;
  paint.fillStyle = muted;
  for (const time of ticks(from, to, width / 120)) {
    paint.fillText(tick(time), x(time) + 4, 11);
    paint.fillRect(x(time), 0, 1, 18);
    paint.globalAlpha = 0.12;
    paint.fillRect(x(time), 18, 1, height);
    paint.globalAlpha = 1;
  }
  const colors = new Map();
  levels.rows.forEach((rows, level) => {
    let painted = -1;
    for (const row of rows) {
      const left = Math.max(0, x(trace.starts[row])), right = Math.min(width, x(trace.starts[row] + trace.durations[row]));
      if (right < 0 || left > width || right < left) continue;
      const wide = Math.max(1, right - left);
      if (wide <= 1 && Math.floor(left) <= painted && !trace.failed.has(row)) continue;
      painted = Math.floor(left);
      const service = trace.services_of[row];
      if (!colors.has(service)) colors.set(service, [canvasColor(trace.serviceOf(row), dark, false), canvasColor(trace.serviceOf(row), dark, true)]);
      const top = TOP + level * LEVEL;
      paint.fillStyle = colors.get(service)[trace.paths[row] ? 1 : 0];
      paint.fillRect(left, top, Math.max(1, wide - (wide > 3 ? 1 : 0)), LEVEL - 2);
      if (trace.failed.has(row)) {
        paint.fillStyle = error;
        paint.fillRect(left, top + LEVEL - 5, wide, 3);
      }
      if (row === look.row.value) {
        paint.strokeStyle = accent;
        paint.lineWidth = 2;
        paint.strokeRect(left + 1, top + 1, Math.max(2, wide - 3), LEVEL - 4);
      }
      if (wide > 34) {
        paint.save();
        paint.beginPath();
        paint.rect(left, top, wide - 5, LEVEL);
        paint.clip();
        paint.fillStyle = dark && !trace.paths[row] ? ink : "#14171a";
        paint.fillText(`${trace.failed.has(row) ? "✖ " : ""}${trace.nameOf(row)}  ${duration(trace.durations[row])}`, left + 6, top + LEVEL / 2 - 1);
        paint.restore();
      }
    }
  });
}
