// Small pieces that several views show.
import { html } from "./lib.js";

export function Status({ trace }) {
  const status = String(trace.status ?? "");
  const bad = status === "error" || /^5\d\d$/.test(status);
  return html`<span class=${"status num" + (bad ? " bad" : "")}>${bad ? "✖ " : ""}${status || "–"}</span>`;
}
