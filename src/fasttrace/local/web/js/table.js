// Spans of the same service and name together: how many, how long, how much of it themselves.
import { html, useMemo, useSignal } from "./lib.js";
import { count, duration, percent } from "./format.js";
import { tint } from "./colors.js";

const COLUMNS = [["service", "Service"], ["name", "Span"], ["spans", "Spans"], ["failed", "Errors"], ["self", "Self"], ["path", "Critical path"], ["total", "Total"], ["longest", "Longest"]];

export function Table({ look }) {
  const { trace } = look;
  const order = useSignal({ by: "self", down: true });
  const groups = useMemo(() => {
    const found = new Map();
    for (let row = 0; row < trace.count; row++) {
      const key = `${trace.services_of[row]} ${trace.names[row]}`;
      let group = found.get(key);
      if (!group) found.set(key, (group = { service: trace.serviceOf(row), name: trace.nameOf(row), spans: 0, failed: 0, self: 0, path: 0, total: 0, longest: -1, row }));
      group.spans++;
      group.failed += trace.failed.has(row);
      group.self += trace.selves[row];
      group.total += trace.durations[row];
      for (const [start, end] of trace.paths[row] ?? []) group.path += end - start;
      if (trace.durations[row] > group.longest) [group.longest, group.row] = [trace.durations[row], row];
    }
    return [...found.values()];
  }, [trace]);
  const { by, down } = order.value;
  const sorted = [...groups].sort((one, other) => (one[by] < other[by] ? -1 : one[by] > other[by] ? 1 : 0) * (down ? -1 : 1)).slice(0, 500);
  const most = Math.max(1, ...groups.map((group) => group.path));
  return html`<div class="scroller" tabindex="0" role="region" aria-label="Spans by name"><table class="data">
    <thead><tr>${COLUMNS.map(([key, title]) => html`<th scope="col" aria-sort=${by === key ? (down ? "descending" : "ascending") : undefined} class=${key === "service" || key === "name" ? "" : "right"}>
      <button onClick=${() => (order.value = { by: key, down: by === key ? !down : key !== "service" && key !== "name" })}>${title}</button></th>`)}</tr></thead>
    <tbody>${sorted.map((group) => html`<tr class=${trace.services_of[look.row.value] === trace.services_of[group.row] && trace.names[look.row.value] === trace.names[group.row] ? "selected" : ""}>
      <td><i class="service" style=${tint(group.service)}>${group.service}</i></td>
      <td><button class="link" title="go to the longest" onClick=${() => look.select(group.row)}>${group.name}</button></td>
      <td class="right num">${count(group.spans)}</td>
      <td class=${"right num" + (group.failed ? " bad" : " muted")}>${group.failed ? `✖ ${count(group.failed)}` : "0"}</td>
      <td class="right num">${duration(group.self)}</td>
      <td class="right num share"><i style=${{ width: `${(60 * group.path) / most}px`, ...tint(group.service) }} />${duration(group.path)} <span class="muted">${percent(group.path, trace.duration_ns)}</span></td>
      <td class="right num">${duration(group.total)}</td>
      <td class="right num">${duration(group.longest)}</td></tr>`)}</tbody></table></div>`;
}
