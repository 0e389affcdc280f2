// How long the traces took that a search finds, on a logarithmic scale: dragging over it narrows the search.
import { html } from "./lib.js";
import { version } from "./api.js";
import { useData } from "./load.js";
import { duration, plural, term, tick } from "./format.js";
import { Chart } from "./chart.js";
import { Range, setRange } from "./range.js";

const HEIGHT = 74, QUIET_HEIGHT = 44;
// Of fewer nothing can be said about where one stands among them.
const FEW = 5;

export function Histogram({ q, mark = null, quiet = false, title = "Latency" }) {
  const { data } = useData("histogram", { q, buckets: quiet ? 40 : 60 }, version.value);
  const buckets = data?.buckets ?? [];
  if (buckets.length === 0 || (quiet && data.total < FEW)) return null;
  const edges = [...buckets.map((bucket) => bucket.from_ns), buckets.at(-1).to_ns];
  const at = mark === null ? null : (edges.findIndex((edge) => edge > mark) + edges.length) % edges.length || edges.length - 1;
  const said = `${plural(data.total, "trace")}: half within ${duration(data.p50)}, 95 % within ${duration(data.p95)}, 99 % within ${duration(data.p99)}`;
  return html`<figure class=${"latency" + (quiet ? " quiet" : "")} aria-label=${`${title}: ${said}`}>
    <figcaption><span>${title}</span>
      ${mark === null
        ? html`<span>p50 <b class="num">${duration(data.p50)}</b></span><span>p95 <b class="num">${duration(data.p95)}</b></span><span>p99 <b class="num">${duration(data.p99)}</b></span>`
        : html`<span>${rank(buckets, mark)}</span>`}
      ${!quiet && html`<${Range} q=${q} field="trace.dur" what="durations" />`}
    </figcaption>
    <${Chart} buckets=${buckets} height=${quiet ? QUIET_HEIGHT : HEIGHT} label=${quiet ? null : (place) => tick(Number(edges[place].toPrecision(2)))}
      pick=${quiet ? null : (from, to) => setRange(q, "trace.dur", term(edges[from], Math.floor), term(edges[to], Math.ceil))} mark=${at === null ? null : at - 0.5} /></figure>`;
}

// How a duration stands among others, as far as buckets tell.
function rank(buckets, mark) {
  const total = buckets.reduce((sum, bucket) => sum + bucket.count, 0);
  const shorter = buckets.reduce((sum, bucket) => sum + (bucket.to_ns <= mark ? bucket.count : bucket.from_ns <= mark ? bucket.count / 2 : 0), 0);
  const share = Math.round((100 * shorter) / total);
  return share >= 50 ? `slower than ${Math.min(99, share)} % of ${total}` : `faster than ${Math.min(99, 100 - share)} % of ${total}`;
}
