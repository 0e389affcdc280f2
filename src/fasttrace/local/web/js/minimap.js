// The whole trace in a strip: drag to look at a part of it, click for all.
import { afterPaint, html, useEffect, useRef, useSignal } from "./lib.js";
import { canvasColor } from "./colors.js";
import { duration } from "./format.js";

const HEIGHT = 40;

export function Minimap({ look }) {
  const { trace } = look;
  const canvas = useRef();
  const drag = useSignal(null);
  const [from, to] = look.zoom.value;
  const whole = trace.until - trace.from;
  useEffect(() => {
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const paint = () => canvas.current && draw(canvas.current, trace, scheme.matches);
    const watch = new ResizeObserver(paint);
    // Observing paints it: the rows come first.
    const late = afterPaint(() => canvas.current && watch.observe(canvas.current));
    scheme.addEventListener("change", paint);
    return () => {
      late();
      watch.disconnect();
      scheme.removeEventListener("change", paint);
    };
  }, [trace]);
  const spot = (event) => {
    const { left, width } = canvas.current.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - left) / width));
  };
  const down = (event) => {
    event.currentTarget.setPointerCapture(event.pointerId);
    drag.value = [spot(event), spot(event)];
  };
  const move = (event) => drag.value && (drag.value = [drag.value[0], spot(event)]);
  const up = () => {
    if (!drag.value) return;
    const [low, high] = [...drag.value].sort((one, other) => one - other);
    drag.value = null;
    look.zoom.value = high - low < 0.004 ? [trace.from, trace.until] : [trace.from + low * whole, trace.from + high * whole];
  };
  const zoomed = from !== trace.from || to !== trace.until;
  const [low, high] = drag.value ? [...drag.value].sort((one, other) => one - other) : [(from - trace.from) / whole, (to - trace.from) / whole];
  return html`<div class="minimap">
    <div class="strip" onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${() => (drag.value = null)}>
      <canvas ref=${canvas} aria-hidden="true" />
      ${(zoomed || drag.value) && html`<i class="shade" style=${{ left: 0, width: `${100 * low}%` }} /><i class="shade" style=${{ left: `${100 * high}%`, right: 0 }} />`}
    </div>
    ${zoomed && html`<button class="link" onClick=${() => look.zoomTo(-1)}>${duration(to - from)} shown · show all (z)</button>`}
  </div>`;
}

function draw(canvas, trace, dark) {
  const ratio = devicePixelRatio || 1;
  const width = (canvas.width = Math.round(canvas.clientWidth * ratio));
  canvas.height = HEIGHT * ratio;
  const paint = canvas.getContext("2d");
  const whole = trace.until - trace.from;
  const deepest = Math.max(1, trace.deepest() + 1);
  const step = Math.min(4 * ratio, (HEIGHT * ratio - 4) / Math.min(deepest, 24));
  // One mark per pixel and level at most.
  const drawn = new Map();
  const colors = new Map();
  for (const [color, rows] of [[null, null], ["error", trace.failed]]) {
    for (let row = 0; row < trace.count; row++) {
      if (rows && !rows.has(row)) continue;
      const level = Math.min(trace.depths[row], 23);
      const x = Math.floor(((trace.starts[row] - trace.from) / whole) * width);
      const end = Math.max(x + 1, Math.ceil(((trace.starts[row] + trace.durations[row] - trace.from) / whole) * width));
      if (!color) {
        const key = level * 65536 + x;
        if ((drawn.get(key) ?? 0) >= end) continue;
        drawn.set(key, end);
      }
      const service = trace.services_of[row];
      if (!colors.has(service)) colors.set(service, canvasColor(trace.serviceOf(row), dark, true));
      paint.fillStyle = color ? (dark ? "#ff7a70" : "#c62f26") : colors.get(service);
      paint.fillRect(x, 2 + level * step, end - x, Math.max(1, step - ratio));
    }
  }
}
