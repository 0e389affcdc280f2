// The service map: who calls whom, how often, how long, and what fails.
import { html, useSignal } from "./lib.js";
import { address, route } from "./route.js";
import { version } from "./api.js";
import { useData } from "./load.js";
import { useKeys } from "./keys.js";
import { clean, clock, count, day, duration, isToday, percent, plural, quoted, rate } from "./format.js";
import { learn, tint } from "./colors.js";
import { Search, focusSearch } from "./search.js";
import { BOX, place } from "./graph.js";

export function ServiceMap() {
  const { q = "" } = route.value.params;
  const { data, error, loading } = useData("map", { q }, version.value);
  const over = useSignal("");
  useKeys({ "/": focusSearch });
  const nodes = data?.nodes ?? [];
  const edges = (data?.edges ?? []).filter((edge) => edge.from !== edge.to);
  learn(nodes.map((node) => node.service));
  const { spots, width, height } = place(nodes, edges);
  const lines = courses(edges, spots);
  const most = Math.max(1, ...edges.map((edge) => edge.calls));
  const near = (edge) => !over.value || edge.from === over.value || edge.to === over.value;
  return html`<div class="page">
    <h1 class="offscreen">Service map</h1>
    <${Search} error=${error} loading=${loading} found=${null} />
    ${data && !nodes.length && html`<p class="nothing">No services in these traces.</p>`}
    ${nodes.length > 0 && html`<div class="map" tabindex="0" role="region" aria-label="Service map">
      <svg width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="group" aria-label=${`${plural(nodes.length, "service")}, ${plural(edges.length, "connection")}`}>
        ${edges.map((edge) => html`<${Edge} key=${edge.from + "→" + edge.to} edge=${edge} course=${lines.get(edge)} most=${most} dim=${!near(edge)} q=${q} />`)}
        ${edges.map((edge) => html`<${Label} key=${edge.from + "→" + edge.to} edge=${edge} course=${lines.get(edge)} dim=${!near(edge)} />`)}
        ${nodes.map((node) => html`<${Node} key=${node.service} node=${node} spot=${spots.get(node.service)} q=${q}
          dim=${over.value && over.value !== node.service && !edges.some((edge) => near(edge) && (edge.from === node.service || edge.to === node.service))} over=${over} />`)}
      </svg></div>
    <${Period} data=${data} />
    <details class="aslist"><summary>The same as tables</summary>
      <table class="data"><thead><tr><th scope="col">Service</th><${Figures} self=${true} /></tr></thead>
      <tbody>${nodes.map((node) => html`<tr><td><a href=${traces(q, node.service)}>${clean(node.service)}</a></td><${Cells} of=${node} calls=${node.requests} errors=${node.failed} self=${true} /></tr>`)}</tbody></table>
      <table class="data"><thead><tr><th scope="col">From</th><th scope="col">To</th><${Figures} /></tr></thead>
      <tbody>${edges.map((edge) => html`<tr><td>${clean(edge.from)}</td><td><a href=${traces(q, edge.to)}>${clean(edge.to)}</a></td><${Cells} of=${edge} calls=${edge.calls} errors=${edge.errors} /></tr>`)}</tbody></table></details>`}
  </div>`;
}

const traces = (q, service) => address("traces", [], { q: `${q} service=${quoted(service)}`.trim() });

// The time over which rates are.
function Period({ data }) {
  if (!data.from_ns) return null;
  const at = (text, other) => `${isToday(text) || (other && day(text) === day(other)) ? "" : day(text) + " "}${clock(text, 0)}`;
  const seconds = Number((BigInt(data.to_ns) - BigInt(data.from_ns)) / 1000000n) * 1e6;
  return html`<p class="muted period">${at(data.from_ns)} – ${at(data.to_ns, data.from_ns)}, ${duration(seconds)}${seconds < 1e9 ? ": too short for rates" : ""}. A box is a service with the requests that it answered; a line is the calls from one to another, with their p95.</p>`;
}

const Figures = ({ self }) => ["Calls", "Rate", "Errors", "p50", "p95", ...(self ? ["Self"] : [])].map((title) => html`<th scope="col" class="right">${title}</th>`);

const Cells = ({ of, calls, errors, self }) => html`<td class="right num">${count(calls)}</td><td class="right num">${rate(of.rate)}</td>
  <td class=${"right num" + (errors ? " bad" : " muted")}>${errors ? `✖ ${count(errors)} · ${percent(errors, calls)}` : "0"}</td>
  <td class="right num">${of.p50 === null ? "–" : duration(of.p50)}</td><td class="right num">${of.p95 === null ? "–" : duration(of.p95)}</td>
  ${self && html`<td class="right num">${duration(of.self_ns ?? 0)}</td>`}`;

// Per second where that is known, else how many.
const often = (perSecond, calls, unit) => (perSecond === null || perSecond === undefined ? `${count(calls)}${unit}` : rate(perSecond));

function Node({ node, spot, q, dim, over }) {
  const failed = node.failed ? percent(node.failed, node.requests) : node.errors ? count(node.errors) : "";
  const figures = [
    `${count(node.requests)} req${node.rate === null ? "" : ` · ${rate(node.rate)}`}`,
    node.p95 === null ? "" : `p95 ${duration(node.p95)}`,
  ];
  return html`<a href=${traces(q, node.service)} class=${"node" + (dim ? " dim" : "")} style=${tint(node.service)}
      onMouseEnter=${() => (over.value = node.service)} onMouseLeave=${() => (over.value = "")} onFocus=${() => (over.value = node.service)} onBlur=${() => (over.value = "")}>
    <g transform=${`translate(${spot.x} ${spot.y})`}>
      <rect width=${BOX.width} height=${BOX.height} rx="9" class="box" />
      <rect width="4" height=${BOX.height - 20} x="10" y="10" rx="2" class="hue" />
      <text x="24" y="25" class="title">${short(clean(node.service), failed ? 14 - failed.length : 18)}</text>
      <text x="24" y="46" class="sub">${figures[0]}</text>
      <text x="24" y="65" class="sub">${figures[1]}</text>
      ${failed && html`<text x=${BOX.width - 10} y="25" text-anchor="end" class="sub bad">✖ ${failed}</text>`}
    </g></a>`;
}

const short = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);

// Where the lines run. Those that end at one service end side by side; figures stand in front of the service, on the line.
function courses(edges, spots) {
  const found = new Map();
  const into = Map.groupBy(edges, (edge) => edge.to), outOf = Map.groupBy(edges, (edge) => edge.from);
  const share = (list, edge, far) => {
    const sorted = [...list].sort((one, other) => spots.get(far(one)).y - spots.get(far(other)).y);
    return (sorted.indexOf(edge) + 1) / (sorted.length + 1);
  };
  for (const edge of edges) {
    const from = spots.get(edge.from), to = spots.get(edge.to);
    const back = to.x <= from.x;
    const x1 = from.x + BOX.width, y1 = from.y + BOX.height * (0.25 + 0.5 * share(outOf.get(edge.from), edge, (one) => one.to));
    const x2 = back ? to.x + BOX.width : to.x, y2 = to.y + BOX.height * share(into.get(edge.to), edge, (one) => one.from);
    const bend = back ? 70 : Math.max(40, (x2 - x1) / 2);
    const far = back ? x2 + bend : x2 - bend;
    const x = back ? x2 + 58 : x2 - BOX.across / 2;
    found.set(edge, {
      line: `M${x1} ${y1} C${x1 + bend} ${y1} ${far} ${y2} ${x2 + (back ? 7 : -7)} ${y2}`,
      tip: back ? `M${x2 + 9} ${y2 - 5} L${x2 + 1} ${y2} L${x2 + 9} ${y2 + 5}` : `M${x2 - 9} ${y2 - 5} L${x2 - 1} ${y2} L${x2 - 9} ${y2 + 5}`,
      x,
      y: back ? y2 : heightAt(x, [x1, x1 + bend, far, x2], [y1, y1, y2, y2]),
    });
  }
  return found;
}

// How high a curve runs at some place on its way to the right.
function heightAt(x, xs, ys) {
  const at = (t, [a, b, c, d]) => (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t * t * c + t ** 3 * d;
  let low = 0, high = 1;
  for (let step = 0; step < 20; step++) {
    const middle = (low + high) / 2;
    if (at(middle, xs) < x) low = middle;
    else high = middle;
  }
  return at(low, ys);
}

function Edge({ edge, course, most, dim, q }) {
  const { line, tip } = course;
  const said = `${clean(edge.from)} calls ${clean(edge.to)}: ${often(edge.rate, edge.calls, " times")}, p95 ${duration(edge.p95 ?? 0)}${edge.errors ? `, ${count(edge.errors)} failed` : ""}`;
  return html`<a href=${traces(q, edge.to)} aria-label=${said} class=${"edge" + (edge.errors ? " failing" : "") + (dim ? " dim" : "")}>
    <path d=${line} class="reach" /><path d=${line} class="line" stroke-width=${1.2 + 3 * Math.sqrt(edge.calls / most)} /><path d=${tip} class="arrow" /></a>`;
}

function Label({ edge, course, dim }) {
  const { x, y } = course;
  const failed = edge.errors > 0;
  const text = `${often(edge.rate, edge.calls, "×")} · ${duration(edge.p95 ?? 0)}`;
  const width = 7 * text.length, height = failed ? 34 : 18;
  return html`<g class=${"edge" + (dim ? " dim" : "")} aria-hidden="true"><rect class="ground" x=${x - width / 2} y=${y - height / 2} width=${width} height=${height} />
    <text x=${x} y=${failed ? y - 3 : y + 4} text-anchor="middle">${text}</text>
    ${failed && html`<text x=${x} y=${y + 13} text-anchor="middle" class="bad">✖ ${percent(edge.errors, edge.calls)}</text>`}</g>`;
}
