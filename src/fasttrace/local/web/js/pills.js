// Small pieces that several views show.
import { html } from "./lib.js";

export function Status({ trace }) {
  const status = String(trace.status ?? "");
  const bad = status === "error" || /^5\d\d$/.test(status);
  return html`<span class=${"status num" + (bad ? " bad" : "")}>${bad ? "✖ " : ""}${status || "–"}</span>`;
}

// What is wider than the page is scrolled, not the page.
export const Wide = ({ label, children }) => html`<div class="across" tabindex="0" role="region" aria-label=${label}>${children}</div>`;
