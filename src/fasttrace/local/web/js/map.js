// The service map: who calls whom, how often, how long, and what fails.
import { html, useSignal } from "./lib.js";
import { address, go, route } from "./route.js";
import { version } from "./api.js";
import { useData } from "./load.js";
import { useKeys } from "./keys.js";
import { clean, count, duration, percent, plural, quoted } from "./format.js";
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
    <details class="aslist"><summary>The same as a table</summary>
      <table class="data"><thead><tr><th scope="col">From</th><th scope="col">To</th><th scope="col" class="right">Calls</th><th scope="col" class="right">Errors</th><th scope="col" class="right">p95</th></tr></thead>
      <tbody>${edges.map((edge) => html`<tr><td>${edge.from}</td><td>${edge.to}</td><td class="right num">${count(edge.calls)}</td><td class=${"right num" + (edge.errors ? " bad" : "")}>${edge.errors ? "✖ " : ""}${count(edge.errors)}</td><td class="right num">${duration(edge.p95 ?? 0)}</td></tr>`)}</tbody></table></details>`}
  </div>`;
}

function Node({ node, spot, q, dim, over }) {
  const to = address("traces", [], { q: `${q} service=${quoted(node.service)}`.trim() });
  const share = node.spans ? node.errors / node.spans : 0;
  return html`<a href=${to} class=${"node" + (dim ? " dim" : "")} style=${tint(node.service)}
      onMouseEnter=${() => (over.value = node.service)} onMouseLeave=${() => (over.value = "")} onFocus=${() => (over.value = node.service)} onBlur=${() => (over.value = "")}>
    <g transform=${`translate(${spot.x} ${spot.y})`}>
      <rect width=${BOX.width} height=${BOX.height} rx="9" class="box" />
      <rect width="4" height=${BOX.height - 20} x="10" y="10" rx="2" class="hue" />
      <text x="24" y="25" class="title">${short(clean(node.service), node.errors ? 12 : 18)}</text>
      <text x="24" y="45" class="sub">${count(node.requests ?? node.spans)} req${node.p95 !== null && node.p95 !== undefined ? ` · p95 ${duration(node.p95)}` : ""}</text>
      ${node.errors > 0 && html`<text x=${BOX.width - 10} y="25" text-anchor="end" class="sub bad">✖ ${share < 1 ? percent(node.errors, node.spans) : count(node.errors)}</text>`}
    </g></a>`;
}

const short = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);

// Where the lines run. Those that end at one service end side by side; figures stand on the side that a line does not
// come from.
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
    const entry = share(into.get(edge.to), edge, (one) => one.from);
    const x2 = back ? to.x + BOX.width : to.x, y2 = to.y + BOX.height * entry;
    const below = entry > 0.5 || (entry === 0.5 && y2 > y1 + 1);
    const bend = back ? 70 : Math.max(40, (x2 - x1) / 2);
    const far = back ? x2 + bend : x2 - bend;
    found.set(edge, {
      line: `M${x1} ${y1} C${x1 + bend} ${y1} ${far} ${y2} ${x2 + (back ? 7 : -7)} ${y2}`,
      tip: back ? `M${x2 + 9} ${y2 - 5} L${x2 + 1} ${y2} L${x2 + 9} ${y2 + 5}` : `M${x2 - 9} ${y2 - 5} L${x2 - 1} ${y2} L${x2 - 9} ${y2 + 5}`,
      x: back ? x2 + 58 : x2 - 58,
      y: below ? y2 + 19 : y2 - 10,
      step: below ? 16 : -16,
    });
  }
  return found;
}

function Edge({ edge, course, most, dim, q }) {
  const { line, tip } = course;
  const open = () => go("traces", [], { q: `${q} service=${quoted(edge.to)}`.trim() });
  return html`<g class=${"edge" + (edge.errors ? " failing" : "") + (dim ? " dim" : "")} onClick=${open}>
    <path d=${line} class="reach" /><path d=${line} class="line" stroke-width=${1.2 + 3 * Math.sqrt(edge.calls / most)} /><path d=${tip} class="arrow" /></g>`;
}

function Label({ edge, course, dim }) {
  const { x, y, step } = course;
  return html`<g class=${"edge" + (dim ? " dim" : "")}><text x=${x} y=${y} text-anchor="middle">${count(edge.calls)} · ${duration(edge.p95 ?? 0)}</text>
    ${edge.errors > 0 && html`<text x=${x} y=${y + step} text-anchor="middle" class="bad">✖ ${count(edge.errors)}</text>`}</g>`;
}
