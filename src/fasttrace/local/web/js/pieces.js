// What is drawn of a row's spans on the axis, as shares of it; what falls on the same pixel is drawn once.

export function pieces(trace, rows, from, to, wide) {
  const whole = to - from;
  const share = (time) => (time - from) / whole;
  const spans = rows.map((row) => [share(trace.starts[row]), share(trace.starts[row] + trace.durations[row])]);
  const left = Math.min(...spans.slice(0, 5000).map(([start]) => start));
  const right = Math.max(...spans.slice(0, 5000).map(([, end]) => end));
  const pixel = 1 / wide;
  const bars = joined(spans, pixel);
  const path = [];
  const events = [];
  for (const row of rows) {
    const own = trace.paths[row];
    if (own) {
      // Sorted by time: begin where the axis begins.
      for (let at = firstAfter(own, from); at < own.length && own[at][0] <= to; at++) path.push([share(own[at][0]), share(own[at][1])]);
    }
    for (const [time] of trace.events[row] ?? []) events.push(share(time));
  }
  return { bars, path: joined(path, pixel), events: thinned(events, 3 * pixel), left, right };
}

function firstAfter(segments, time) {
  let low = 0, high = segments.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (segments[middle][1] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

function joined(intervals, pixel) {
  const found = [];
  for (const [start, end] of intervals.sort((one, other) => one[0] - other[0])) {
    const low = Math.max(0, start), high = Math.min(1, Math.max(end, start + pixel));
    if (high < 0 || low > 1 || high <= low) continue;
    const last = found.at(-1);
    if (last && low - last[1] < pixel) last[1] = Math.max(last[1], high);
    else found.push([low, high]);
  }
  return found;
}

function thinned(spots, gap) {
  const found = [];
  for (const spot of spots.sort((one, other) => one - other)) {
    if (spot < 0 || spot > 1 || (found.length && spot - found.at(-1) < gap)) continue;
    found.push(spot);
  }
  return found;
}
