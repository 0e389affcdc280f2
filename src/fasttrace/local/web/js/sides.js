// The texts that name a side of a comparison: a trace, a search, or a range of time.
import { quoted } from "./format.js";

const AGO = /^(\d{1,9}(?:\.\d{1,6})?)([smhd])$/;
const CLOCK = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/;
const MS = { s: 1e3, m: 60e3, h: 3600e3, d: 86400e3 };

export const isRange = (text) => text.includes("..") && !/[=~<>" ]/.test(text);

// With times that stay what they are: `10m..` means something else tomorrow.
export function settled(text, now) {
  return isRange(text) ? text.split("..").map((time) => settledTime(time, now)).join("..") : text;
}

function settledTime(text, now) {
  const ago = text.match(AGO), clock = text.match(CLOCK);
  if (ago) return new Date(now - ago[1] * MS[ago[2]]).toISOString();
  if (!clock) return text;
  const at = new Date(now);
  at.setHours(clock[1], clock[2], clock[3] ?? 0, 0);
  if (at > now) at.setDate(at.getDate() - 1);
  return at.toISOString();
}

// The search that finds the traces of a side.
export const searchOf = (text) => (isRange(text) ? (text === ".." ? "" : `trace.start=${text}`) : text);

// A route as a search finds it: the name of a span, or its http.route.
export const routeTerm = (route) => `${/^(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) /.test(route) || !route.startsWith("/") ? "name" : "http.route"}=${quoted(route)}`;
