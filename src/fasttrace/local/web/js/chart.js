// Bars with failed ones in front, and a part of them that can be chosen by dragging.
import { html, useEffect, useRef } from "./lib.js";

// `buckets` have count and errors; a place is that of the edge where one begins. `label(place)` is the text below an edge,
// `pick(from, to)` gets the edges around the bars that were dragged over, `mark` is where a line goes.
export function Chart({ buckets, height, label, pick, mark = null }) {
  const place = useRef();
  const held = useRef({});
  Object.assign(held.current, { buckets, label, pick, mark });
  useEffect(() => {
    let gone = false;
    import("uplot").then(({ default: uPlot }) => gone || !place.current || draw(uPlot, place.current, held.current, height));
    return () => (gone = true);
  }, [buckets, mark]);
  useEffect(() => {
    const watch = new ResizeObserver(() => place.current && held.current.chart?.setSize({ width: place.current.clientWidth, height }));
    watch.observe(place.current);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const redraw = () => held.current.chart?.redraw();
    scheme.addEventListener("change", redraw);
    return () => {
      watch.disconnect();
      scheme.removeEventListener("change", redraw);
      held.current.chart?.destroy();
      held.current.chart = null;
    };
  }, []);
  return html`<div class="plot" ref=${place} aria-hidden="true" style=${{ height: `${height}px` }} />`;
}

function draw(uPlot, place, held, height) {
  const { buckets } = held;
  const series = [buckets.map((_, index) => index + 0.5), buckets.map((bucket) => bucket.count), buckets.map((bucket) => bucket.errors ?? 0)];
  if (held.chart) {
    held.chart.setData(series, false);
    held.chart.setScale("x", { min: 0, max: buckets.length });
    held.chart.redraw();
    return;
  }
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const bars = uPlot.paths.bars({ size: [0.86, 100], radius: 0.15 });
  const looks = (fill) => ({ paths: bars, fill: () => css(fill), stroke: "transparent", width: 0, points: { show: false } });
  held.chart = new uPlot(
    {
      width: place.clientWidth,
      height,
      padding: [4, 0, 0, 0],
      legend: { show: false },
      cursor: { show: Boolean(held.pick), y: false, points: { show: false }, drag: { x: Boolean(held.pick), y: false, setScale: false } },
      scales: { x: { time: false, range: () => [0, held.buckets.length] }, y: { range: (_, __, high) => [0, Math.max(1, high)] } },
      axes: [
        {
          show: Boolean(held.label),
          size: 20,
          gap: 2,
          font: "11px ui-sans-serif, system-ui, sans-serif",
          stroke: () => css("--muted"),
          grid: { show: false },
          ticks: { show: false },
          splits: () => {
            const every = Math.max(1, Math.round(held.buckets.length / Math.max(2, Math.floor(place.clientWidth / 110))));
            return held.buckets.map((_, index) => index).filter((index) => index % every === 0 && index > 0);
          },
          values: (_, splits) => splits.map((split) => held.label(split)),
        },
        { show: false },
      ],
      series: [{}, looks("--bar"), looks("--error")],
      hooks: {
        setSelect: [
          (chart) => {
            const { left, width } = chart.select;
            if (width < 3) return;
            const spot = (x) => Math.max(0, Math.min(held.buckets.length, chart.posToVal(x, "x")));
            chart.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
            held.pick(Math.floor(spot(left)), Math.ceil(spot(left + width)));
          },
        ],
        draw: [
          (chart) => {
            if (held.mark === null) return;
            chart.ctx.fillStyle = css("--accent");
            chart.ctx.fillRect(Math.round(chart.valToPos(held.mark, "x", true)) - 1, chart.bbox.top, 2 * devicePixelRatio, chart.bbox.height);
          },
        ],
      },
    },
    series,
    place,
  );
}
