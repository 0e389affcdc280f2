// One hue per service, the same in every view and after a reload; never red, which is for errors.

const HUES = [205, 165, 275, 75, 235, 130, 310, 95, 185, 255, 55, 290, 220, 150];
const taken = new Map();

function hash(text) {
  let value = 2166136261;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 16777619);
  return value >>> 0;
}

export function hue(service) {
  let found = taken.get(service);
  if (found === undefined) {
    const used = new Set(taken.values());
    let at = hash(service) % HUES.length;
    for (let tries = 0; tries < HUES.length && used.has(HUES[at]); tries++) at = (at + 5) % HUES.length;
    taken.set(service, (found = HUES[at]));
  }
  return found;
}

// Services that are seen together are given their hues in the order of their names.
export function learn(services) {
  [...services].sort().forEach(hue);
}

export const tint = (service) => ({ "--hue": hue(service) });

export function canvasColor(service, dark, strong) {
  const light = dark ? (strong ? 0.72 : 0.5) : strong ? 0.62 : 0.82;
  return `oklch(${light} ${strong ? 0.12 : 0.07} ${hue(service)})`;
}
