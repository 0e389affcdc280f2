// Latency of what the search finds, on a logarithmic scale: dragging over it narrows the search.
import { html, useEffect, useRef } from "./lib.js";
import { change, route } from "./route.js";
import { version } from "./api.js";
import { useData } from "./load.js";
import { duration, plural, term, tick } from "./format.js";

const HEIGHT = 74, QUIET_HEIGHT = 44;

export function Histogram({ q, mark = null, quiet = false, title = "Latency" }) {
  const { data } = useData("histogram", { q, buckets: quiet ? 40 : 60 }, version.value);
  const place = useRef();
  const plot = useRef({ chart: null, buckets: [] });
  const buckets = data?.buckets ?? [];

  useEffect(() => {
    if (!place.current || buckets.length === 0) return;
    let gone = false;
    import("uplot").then(({ default: uPlot }) => gone || draw(uPlot, place.current, plot.current, buckets, mark, quiet));
    return () => (gone = true);
  }, [data, mark]);
  useEffect(() => {
    const watch = new ResizeObserver(() => place.current && plot.current.chart?.setSize({ width: place.current.clientWidth, height: quiet ? QUIET_HEIGHT : HEIGHT }));
    if (place.current) watch.observe(place.current);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const redraw = () => plot.current.chart?.redraw();
    scheme.addEventListener("change", redraw);
    return () => {
      watch.disconnect();
      scheme.removeEventListener("change", redraw);
      plot.current.chart?.destroy();
      plot.current.chart = null;
    };
  }, [buckets.length === 0]);

  if (buckets.length === 0) return null;
  const said = `${plural(data.total, "trace")}: half within ${duration(data.p50)}, 95 % within ${duration(data.p95)}, 99 % within ${duration(data.p99)}`;
  return html`<figure class=${"latency" + (quiet ? " quiet" : "")} aria-label=${`${title}: ${said}`}>
    <figcaption><span>${title}</span>
      ${mark === null
        ? html`<span>p50 <b class="num">${duration(data.p50)}</b></span><span>p95 <b class="num">${duration(data.p95)}</b></span><span>p99 <b class="num">${duration(data.p99)}</b></span>`
        : html`<span>${rank(buckets, mark)}</span>`}
      ${/\btrace\.dur[<>]/.test(q) && !quiet ? html`<button onClick=${() => change({ q: without(q) })}>all durations</button>` : !quiet && html`<span class="hint">drag to narrow</span>`}
    </figcaption>
    <div class="plot" ref=${place} aria-hidden="true" /></figure>`;
}

// How a duration stands among others, as far as buckets tell.
function rank(buckets, mark) {
  const total = buckets.reduce((sum, bucket) => sum + bucket.count, 0);
  if (total < 5) return `${plural(total, "trace")}`;
  const shorter = buckets.reduce((sum, bucket) => sum + (bucket.to_ns <= mark ? bucket.count : bucket.from_ns <= mark ? bucket.count / 2 : 0), 0);
  const share = Math.round((100 * shorter) / total);
  return share >= 50 ? `slower than ${Math.min(99, share)} % of ${total}` : `faster than ${Math.min(99, 100 - share)} % of ${total}`;
}

const without = (q) => q.replace(/(^|\s)-?trace\.dur(<=?|>=?)\S+/g, "").trim();

function draw(uPlot, place, held, buckets, mark, quiet) {
  const edges = [...buckets.map((bucket) => bucket.from_ns), buckets.at(-1).to_ns];
  held.buckets = buckets;
  held.mark = mark;
  const at = buckets.map((_, index) => index + 0.5);
  const series = [at, buckets.map((bucket) => bucket.count), buckets.map((bucket) => bucket.errors ?? 0)];
  if (held.chart) {
    held.edges = edges;
    held.chart.setData(series, false);
    held.chart.setScale("x", { min: 0, max: buckets.length });
    held.chart.redraw();
    return;
  }
  held.edges = edges;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const bars = uPlot.paths.bars({ size: [0.86, 100], radius: 0.15 });
  held.chart = new uPlot(
    {
      width: place.clientWidth,
      height: quiet ? QUIET_HEIGHT : HEIGHT,
      padding: [4, 0, 0, 0],
      legend: { show: false },
      cursor: { show: !quiet, y: false, points: { show: false }, drag: { x: !quiet, y: false, setScale: false } },
      scales: { x: { time: false, range: () => [0, held.buckets.length] }, y: { range: (_, __, high) => [0, Math.max(1, high)] } },
      axes: [
        {
          show: !quiet,
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
          values: (_, splits) => splits.map((split) => tick(Number(held.edges[split].toPrecision(2)))),
        },
        { show: false },
      ],
      series: [
        {},
        { paths: bars, fill: () => css("--bar"), stroke: "transparent", width: 0, points: { show: false } },
        { paths: bars, fill: () => css("--error"), stroke: "transparent", width: 0, points: { show: false } },
      ],
      hooks: {
        setSelect: [
          (chart) => {
            const { left, width } = chart.select;
            if (width < 3) return;
            const edge = (x) => {
              const spot = Math.max(0, Math.min(held.buckets.length, chart.posToVal(x, "x")));
              const low = held.edges[Math.floor(spot)], high = held.edges[Math.min(held.edges.length - 1, Math.floor(spot) + 1)];
              return low * (high / low || 1) ** (spot - Math.floor(spot));
            };
            chart.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
            const range = `trace.dur>=${term(edge(left))} trace.dur<=${term(edge(left + width))}`;
            change({ q: `${without(route.value.params.q ?? "")} ${range}`.trim() }, false);
          },
        ],
        draw: [
          (chart) => {
            if (held.mark === null || held.mark === undefined) return;
            const spot = held.edges.findIndex((edge) => edge > held.mark);
            const x = chart.valToPos((spot < 0 ? held.buckets.length : spot) - 0.5, "x", true);
            chart.ctx.fillStyle = css("--accent");
            chart.ctx.fillRect(Math.round(x) - 1, chart.bbox.top, 2 * devicePixelRatio, chart.bbox.height);
          },
        ],
      },
    },
    series,
    place,
  );
}
