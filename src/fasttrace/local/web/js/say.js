// What happened, in words: shown for a moment, and read out.
import { html, signal } from "./lib.js";

const said = signal("");
let timer;

export function say(text) {
  said.value = text;
  clearTimeout(timer);
  timer = setTimeout(() => (said.value = ""), 2500);
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // No clipboard without https or a permission: the old way.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "offscreen";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say(`${what} copied: ${text}`);
}

export const Said = () => html`<div class=${"said" + (said.value ? " shown" : "")} role="status" aria-live="polite">${said.value}</div>`;
