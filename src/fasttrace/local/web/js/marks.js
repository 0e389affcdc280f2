// The trace that was marked: the next one that is marked is compared with it.
import { signal } from "./lib.js";
import { go } from "./route.js";
import { say } from "./say.js";

export const marked = signal(null);

export function mark(id) {
  if (!id) return;
  const first = marked.value;
  if (first && first !== id) {
    marked.value = null;
    go("compare", [first, id]);
    return;
  }
  marked.value = first === id ? null : id;
  say(marked.value ? "marked: x on another trace compares the two" : "no mark");
}
