// The frame: navigation, the view that the address names, help.
import { html, render, effect } from "./lib.js";
import { route, address, go } from "./route.js";
import { connected, inFile, listen, live, trouble } from "./api.js";
import { useKeys } from "./keys.js";
import { Said } from "./say.js";
import { Help, toggleHelp } from "./help.js";
import { Traces } from "./traces.js";
import { TracePage } from "./trace.js";
import { ServiceMap } from "./map.js";
import { Routes } from "./routes.js";
import { Compare } from "./compare.js";
import { Health, Lost } from "./health.js";

const PAGES = [
  ["traces", "Traces", Traces],
  ["map", "Map", ServiceMap],
  ["routes", "Routes", Routes],
  ["compare", "Compare", Compare],
  ["health", "Health", Health],
].slice(0, inFile ? 3 : undefined);

function Live() {
  if (inFile) return null;
  if (!connected.value) return html`<span class="state bad" role="status">not connected</span>`;
  const on = live.value;
  return html`<button class="state" aria-pressed=${on} title="pause or resume (p)" onClick=${() => (live.value = !on)}>
    <i class=${"dot" + (on ? " on" : "")} aria-hidden="true" />${on ? "live" : "paused"}
  </button>`;
}

function App() {
  const { page, params } = route.value;
  useKeys({
    "?": toggleHelp,
    p: () => (live.value = !live.value),
    1: () => go("traces", [], { q: params.q }),
    2: () => go("map", [], { q: params.q }),
    3: () => go("routes", [], { q: params.q }),
    4: () => go("compare", [], {}),
    5: () => go("health"),
  });
  const here = page === "trace" ? "traces" : page;
  const View = page === "trace" ? TracePage : (PAGES.find(([name]) => name === page) ?? PAGES[0])[2];
  return html`
    <header class="top">
      <a class="brand" href=${address("traces")}><i class="logo" aria-hidden="true"><b /><b /><b /></i>fasttrace</a>
      <nav aria-label="Views">
        ${PAGES.map(
          ([name, title]) =>
            html`<a href=${address(name, [], name === "traces" || name === "map" || name === "routes" ? { q: params.q } : {})}
              aria-current=${here === name ? "page" : undefined}>${title}</a>`,
        )}
      </nav>
      ${trouble.value && html`<span class="state bad" title=${trouble.value}>index: ${trouble.value.slice(0, 80)}</span>`}
      <${Lost} />
      <${Live} />
      <button class="quiet" onClick=${toggleHelp} aria-label="Keys (?)" title="keys (?)">?</button>
    </header>
    <main><${View} key=${page} /></main>
    <${Help} /><${Said} />`;
}

effect(() => {
  const { page, rest } = route.value;
  document.title = page === "trace" && rest[0] ? `${rest[0].slice(0, 8)} · fasttrace` : `${page} · fasttrace`;
});
listen();
render(html`<${App} />`, document.getElementById("app"));
