// One listener for all keys. A view offers a table of them; the innermost that knows a key takes it.
import { useLayoutEffect, useRef } from "./lib.js";
import { inFile } from "./api.js";

const layers = [];
// To follow, to compare, and the pages of both.
const SERVER_KEYS = ["p", "x", "4", "5"];

export const isTyping = (target) =>
  target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  // An open dialog keeps its keys.
  if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
  if (inFile && SERVER_KEYS.includes(event.key)) return;
  for (let at = layers.length - 1; at >= 0; at--) {
    const action = layers[at].current?.[event.key];
    if (!action) continue;
    // Links and buttons keep their own Enter and space.
    if ((event.key === "Enter" || event.key === " ") && event.target.closest?.("a, button, summary")) return;
    event.preventDefault();
    action(event);
    return;
  }
});

export function useKeys(table) {
  const layer = useRef(table);
  layer.current = table;
  // Before it is drawn: whoever sees the view has its keys.
  useLayoutEffect(() => {
    layers.push(layer);
    return () => layers.splice(layers.indexOf(layer), 1);
  }, []);
}
