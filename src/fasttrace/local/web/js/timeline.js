// When the traces began that a search finds: dragging over it narrows the search to a time.
import { html } from "./lib.js";
import { version } from "./api.js";
import { useData } from "./load.js";
import { clock, day, instant, plural } from "./format.js";
import { Chart } from "./chart.js";
import { Range, setRange } from "./range.js";

const HEIGHT = 74;
const DAY_NS = 86_400_000_000_000n;

export function Timeline({ q }) {
  const { data } = useData("timeline", { q, buckets: 60 }, version.value);
  const buckets = data?.buckets ?? [];
  if (buckets.length === 0) return null;
  const first = BigInt(buckets[0].from_ns), width = BigInt(buckets[0].to_ns) - first;
  const at = (place) => String(first + width * BigInt(place));
  const whole = width * BigInt(buckets.length);
  const label = (place) => (whole > 2n * DAY_NS ? day(at(place)).slice(5) : clock(at(place), whole < 20_000_000_000n ? 1 : 0));
  const errors = buckets.reduce((sum, bucket) => sum + bucket.errors, 0);
  const said = `${plural(data.total, "trace")} from ${day(at(0))} ${clock(at(0), 0)} to ${day(at(buckets.length))} ${clock(at(buckets.length), 0)}, ${errors} failed`;
  return html`<figure class="latency" aria-label=${`Time: ${said}`}>
    <figcaption><span>Time</span><span class="num">${clock(at(0), 0)} – ${clock(at(buckets.length), 0)}</span>${errors > 0 && html`<span class="bad">✖ ${errors}</span>`}
      <${Range} q=${q} field="trace.start" what="times" /></figcaption>
    <${Chart} buckets=${buckets} height=${HEIGHT} label=${label} pick=${(from, to) => setRange(q, "trace.start", instant(at(from)), instant(at(to), true))} />
  </figure>`;
}
