"""The style of the page in one file: light and dark, a hue for each service, red for failures only."""

from __future__ import annotations

STYLE = """\
:root { color-scheme: light dark; --back: #fff; --text: #1c1e21; --quiet: #62676e; --line: #e3e5e8; --bad: #c4221c;
        --light: 45%; }
@media (prefers-color-scheme: dark) {
  :root { --back: #16181b; --text: #e6e7e9; --quiet: #9aa0a8; --line: #2c3036; --bad: #ff7b72; --light: 65%; } }
body { margin: 0; background: var(--back); color: var(--text); font: 14px/1.5 system-ui, sans-serif; }
main { max-width: 1500px; margin: 0 auto; padding: 1rem; }
article { margin-bottom: 3rem; }
h1 { font-size: 1.3rem; margin: .5rem 0; overflow-wrap: anywhere; }
p, ul { margin: .4rem 0; }
code, td, .self, .figure { font-variant-numeric: tabular-nums; }
code { font-family: ui-monospace, monospace; font-size: .9em; }
.figure { font-weight: 400; margin-left: .6rem; }
.bad { color: var(--bad); }
.shares { margin: 1rem 0; max-width: 60rem; }
.shares i { display: block; height: 5px; min-width: 1px; background: currentColor; }
.scale { display: flex; justify-content: space-between; }
.head, .quiet { color: var(--quiet); }
summary:has(:target) { background: color-mix(in srgb, currentColor 15%, transparent); }
summary, .head, .missing { display: grid; grid-template-columns: 9rem 22rem 1fr 9rem; align-items: center;
                    cursor: pointer; min-height: 1.6rem; border-bottom: 1px solid var(--line); }
.head { cursor: default; }
.missing { display: block; padding-left: calc(9rem + var(--depth) * .9rem); color: var(--quiet);
  cursor: default; margin: 0; }
summary:hover, summary:focus-visible { background: color-mix(in srgb, currentColor 8%, transparent); }
summary > * { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.name { padding-left: calc(var(--depth) * .9rem); }
.self { text-align: right; }
.bar { position: relative; height: 1rem; overflow: visible; }
.bar i, .bar u { position: absolute; min-width: 1px; background: currentColor; }
.bar i { top: 7px; height: 2px; opacity: .6; }
.bar u { top: 3px; height: 10px; border-radius: 2px; }
.wait u { background: repeating-linear-gradient(90deg, currentColor 0 2px, transparent 2px 4px); }
.details { display: flex; flex-wrap: wrap; gap: 0 2rem; padding: .5rem 0 .5rem 9rem;
  border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; align-self: flex-start; }
caption { text-align: left; color: var(--quiet); }
th { text-align: left; font-weight: 400; color: var(--quiet); padding-right: 1rem; vertical-align: top; }
td { white-space: pre-wrap; overflow-wrap: anywhere; max-width: 60rem; }
.h0 { color: hsl(205 70% var(--light)); }
.h1 { color: hsl(280 50% var(--light)); }
.h2 { color: hsl(150 55% calc(var(--light) - 8%)); }
.h3 { color: hsl(40 75% calc(var(--light) - 8%)); }
.h4 { color: hsl(230 60% var(--light)); }
.h5 { color: hsl(180 60% calc(var(--light) - 8%)); }
.h6 { color: hsl(315 50% var(--light)); }
.h7 { color: hsl(90 50% calc(var(--light) - 8%)); }
.h8 { color: hsl(255 55% var(--light)); }
.h9 { color: hsl(60 60% calc(var(--light) - 12%)); }
.h10 { color: hsl(190 80% calc(var(--light) - 5%)); }
.h11 { color: hsl(25 60% var(--light)); }
@media (max-width: 60rem) {
  summary, .head { grid-template-columns: 6rem 12rem 1fr 7.5rem; }
  .details { padding-left: 0; }
  .scale span:nth-child(even) { display: none; }
}
"""
