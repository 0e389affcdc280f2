// What the services were asked for, by route: how often, how long, what failed.
import { html, useSignal } from "./lib.js";
import { address, route } from "./route.js";
import { version } from "./api.js";
import { useData } from "./load.js";
import { useKeys } from "./keys.js";
import { clean, count, duration, percent, quoted, rate } from "./format.js";
import { learn, tint } from "./colors.js";
import { Wide } from "./pills.js";
import { Search, focusSearch } from "./search.js";
import { routeTerm } from "./sides.js";

const COLUMNS = [["service", "Service"], ["route", "Route"], ["count", "Requests"], ["rate", "Rate"], ["errors", "Errors"], ["p50", "p50"], ["p95", "p95"], ["p99", "p99"], ["self_ns", "Self"], ["total_ns", "Time in all"]];

export function Routes() {
  const { q = "" } = route.value.params;
  const { data, error, loading } = useData("routes", { q }, version.value);
  const order = useSignal({ by: "total_ns", down: true });
  useKeys({ "/": focusSearch });
  const rows = data?.routes ?? [];
  learn(new Set(rows.map((row) => row.service)));
  const { by, down } = order.value;
  const sorted = [...rows].sort((one, other) => (one[by] < other[by] ? -1 : one[by] > other[by] ? 1 : 0) * (down ? -1 : 1));
  const most = Math.max(1, ...rows.map((row) => row.p99 ?? 0));
  return html`<div class="page">
    <h1 class="offscreen">Routes</h1>
    <${Search} error=${error} loading=${loading} found=${null} />
    ${data && !rows.length && html`<p class="nothing">No requests in these traces.</p>`}
    ${rows.length > 0 && html`<${Wide} label="Routes"><table class="data wide"><thead><tr>${COLUMNS.map(([key, title], index) => html`<th scope="col" class=${index > 1 ? "right" : ""} aria-sort=${by === key ? (down ? "descending" : "ascending") : undefined}>
        <button onClick=${() => (order.value = { by: key, down: by === key ? !down : index > 1 })}>${title}</button></th>`)}<th scope="col">p50 – p95 – p99</th></tr></thead>
      <tbody>${sorted.map((row) => html`<tr>
        <td><i class="service" style=${tint(row.service)}>${clean(row.service)}</i></td>
        <td><a href=${address("traces", [], { q: `${q} service=${quoted(row.service)} ${routeTerm(row.route)}`.trim() })}>${clean(row.route)}</a></td>
        <td class="right num">${count(row.count)}</td><td class="right num">${rate(row.rate)}</td>
        <td class=${"right num" + (row.errors ? " bad" : " muted")}>${row.errors ? `✖ ${count(row.errors)} · ${percent(row.errors, row.count)}` : "0"}</td>
        <td class="right num">${duration(row.p50 ?? 0)}</td><td class="right num"><b>${duration(row.p95 ?? 0)}</b></td><td class="right num">${duration(row.p99 ?? 0)}</td>
        <td class="right num">${duration(row.self_ns ?? 0)}</td><td class="right num">${duration(row.total_ns ?? 0)}</td>
        <td class="spread"><svg width="110" height="14" aria-hidden="true" style=${tint(row.service)}><line x1="0" x2="110" y1="7" y2="7" class="base" />
          <rect x=${(106 * row.p50) / most} y="3" width=${Math.max(2, (106 * (row.p95 - row.p50)) / most)} height="8" rx="2" class="hue" />
          <line x1=${(106 * row.p95) / most} x2=${(106 * row.p99) / most + 1} y1="7" y2="7" class="whisker" /><line x1=${(106 * row.p99) / most + 1} x2=${(106 * row.p99) / most + 1} y1="3" y2="11" class="whisker" /></svg></td>
      </tr>`)}</tbody></table><//>`}
  </div>`;
}
