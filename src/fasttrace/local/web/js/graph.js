// Services in layers, callers left of what they call: positions for a map of a few dozen.

export const BOX = { width: 178, height: 80, across: 150, down: 30 };

export function place(nodes, edges) {
  const names = nodes.map((node) => node.service);
  const out = new Map(names.map((name) => [name, []]));
  for (const edge of edges) if (edge.from !== edge.to) out.get(edge.from)?.push(edge.to);
  const layer = layers(names, out);
  const columns = [];
  for (const name of names) (columns[layer.get(name)] ??= []).push(name);
  for (let at = 0; at < columns.length; at++) columns[at] ??= [];
  sortColumns(columns, out);
  const tallest = Math.max(1, ...columns.map((column) => column.length));
  const spots = new Map();
  columns.forEach((column, x) => {
    const free = (tallest - column.length) * (BOX.height + BOX.down);
    column.forEach((name, y) => spots.set(name, { x: 8 + x * (BOX.width + BOX.across), y: 8 + free / 2 + y * (BOX.height + BOX.down), layer: x }));
  });
  return { spots, width: 16 + columns.length * (BOX.width + BOX.across) - BOX.across, height: 16 + tallest * (BOX.height + BOX.down) - BOX.down };
}

// The longest way from a service that nobody calls; calls that lead back are left out.
function layers(names, out) {
  const state = new Map(), order = [], back = new Set();
  const called = new Set([...out.values()].flat());
  for (const start of [...names.filter((name) => !called.has(name)), ...names]) {
    if (state.has(start)) continue;
    const stack = [[start, 0]];
    state.set(start, "open");
    while (stack.length) {
      const top = stack.at(-1);
      const next = out.get(top[0])[top[1]++];
      if (next === undefined) {
        state.set(top[0], "done");
        order.push(top[0]);
        stack.pop();
      } else if (state.get(next) === "open") back.add(`${top[0]} ${next}`);
      else if (!state.has(next)) {
        state.set(next, "open");
        stack.push([next, 0]);
      }
    }
  }
  const layer = new Map(names.map((name) => [name, 0]));
  for (const name of order.reverse()) for (const next of out.get(name)) if (!back.has(`${name} ${next}`)) layer.set(next, Math.max(layer.get(next), layer.get(name) + 1));
  return layer;
}

// Each at the middle of those that it is joined to, a few times in both directions.
function sortColumns(columns, out) {
  const into = new Map();
  for (const [from, list] of out) for (const to of list) into.set(to, [...(into.get(to) ?? []), from]);
  for (let round = 0; round < 4; round++) {
    const at = new Map(columns.flatMap((column) => column.map((name, index) => [name, index / Math.max(1, column.length)])));
    const near = round % 2 ? out : into;
    for (const column of columns) {
      const middle = (name) => {
        const others = near.get(name) ?? [];
        return others.length ? others.reduce((sum, one) => sum + (at.get(one) ?? 0), 0) / others.length : at.get(name);
      };
      const weight = new Map(column.map((name) => [name, middle(name)]));
      column.sort((one, other) => weight.get(one) - weight.get(other));
    }
  }
}
