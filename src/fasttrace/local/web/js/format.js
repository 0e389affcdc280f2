// Figures as a person reads them. The terminal shows the same ones (fasttrace/local/text.py).

const UNITS = [["ns", 1], ["µs", 1e3], ["ms", 1e6], ["s", 1e9]];

export function duration(ns) {
  if (ns < 0) return "-" + duration(-ns);
  const seconds = ns / 1e9;
  if (seconds >= 100 * 86400) return `${Math.floor(seconds / 86400)}d`;
  if (seconds >= 100 * 3600) return `${Math.floor(seconds / 86400)}d ${pad(Math.floor((seconds % 86400) / 3600), 2)}h`;
  if (seconds >= 6000) return `${Math.floor(seconds / 3600)}h ${pad(Math.floor((seconds % 3600) / 60), 2)}m`;
  if (seconds >= 120) return `${Math.floor(seconds / 60)}m ${pad(Math.floor(seconds % 60), 2)}s`;
  for (const [unit, size] of UNITS) {
    const value = ns / size;
    if (value < 999.5 || unit === "s") {
      const decimals = size === 1 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
      return `${value.toFixed(decimals)} ${unit}`;
    }
  }
}

// Without superfluous digits, for axes.
export function tick(ns) {
  if (ns === 0) return "0";
  const [unit, size] = UNITS.findLast(([, size]) => Math.abs(ns) >= size) ?? UNITS[0];
  return `${Number((ns / size).toPrecision(4))} ${unit}`;
}

// For a search: three digits, without a space.
export function term(ns, round = Math.round) {
  const [unit, size] = UNITS.findLast(([, size]) => ns >= size) ?? UNITS[0];
  const step = size * 10 ** (Math.floor(Math.log10(Math.max(1, ns / size))) - 2);
  return `${Number(((round(ns / step) * step) / size).toPrecision(4))}${unit === "µs" ? "us" : unit}`;
}

const pad = (value, width) => String(value).padStart(width, "0");

// `text` is nanoseconds since the epoch: more than a double holds, so milliseconds are cut out of it.
export function date(text) {
  return new Date(Number(BigInt(text) / 1000000n));
}

export function clock(text, digits = 3) {
  const at = date(text);
  const millis = pad(at.getMilliseconds(), 3).slice(0, digits);
  return `${pad(at.getHours(), 2)}:${pad(at.getMinutes(), 2)}:${pad(at.getSeconds(), 2)}${digits ? "." + millis : ""}`;
}

export function day(text) {
  const at = date(text);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1, 2)}-${pad(at.getDate(), 2)}`;
}

// An instant as a search takes it, to the microsecond: `2026-11-23T12:03:41.220145Z`; with `up` the next one.
export function instant(text, up = false) {
  const micros = (BigInt(text) + (up ? 999n : 0n)) / 1000n;
  return new Date(Number(micros / 1000n)).toISOString().replace("Z", `${pad(micros % 1000n, 3)}Z`);
}

export function isToday(text) {
  return date(text).toDateString() === new Date().toDateString();
}

export const count = (number) => (number ?? 0).toLocaleString("en-US");
export const plural = (number, noun) => `${count(number)} ${number === 1 ? noun : noun + "s"}`;

// Calls per second, or per minute where that is less than one.
export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) return "–";
  if (perSecond >= 9.95) return `${count(Math.round(perSecond))}/s`;
  if (perSecond >= 1) return `${perSecond.toFixed(1)}/s`;
  const perMinute = 60 * perSecond;
  return perMinute >= 1 ? `${perMinute.toFixed(0)}/min` : perMinute > 0 ? "<1/min" : "–";
}

export function percent(part, whole) {
  if (!(whole > 0) || part <= 0) return "0 %";
  const share = (100 * part) / whole;
  return share < 0.5 ? "<1 %" : `${share.toFixed(0)} %`;
}

// Round steps of 1, 2 or 5 between two times, about `wanted` of them.
export function ticks(from, to, wanted) {
  const rough = (to - from) / Math.max(1, wanted);
  if (!(rough > 0)) return [];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
  const found = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
  return found;
}

// A value as the search language takes it.
export const quoted = (value) =>
  /^[\w.\/:@%+-]+$/.test(value) ? value : `"${String(value).replace(/["\\]/g, "\\$&")}"`;

// A name on one line: without control, formatting or direction-changing characters, as in the terminal. Persian, Indic
// scripts and families of emoji are written with joiners, which stay.
export const clean = (text) => text.replace(/\s/g, " ").replace(/(?![\u200C\u200D])\p{C}/gu, "\uFFFD");
