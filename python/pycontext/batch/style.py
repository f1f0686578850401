"""How a report looks: on a screen, light or dark, wide or narrow, and on paper."""

from __future__ import annotations

from typing import Final

from pycontext.batch.markup import Markup

__all__ = ["STYLE"]

STYLE: Final = Markup("""
:root {
  color-scheme: light dark;
  --page: #f6f7f8; --card: #ffffff; --ink: #1a1f26; --quiet: #56606d; --line: #dfe3e8;
  --before: #8b95a5; --after: #0b7a6f; --mark: #b4460f; --warn: #9a3412; --warned: #fff4ec; --stripe: #f9fafb;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0e1116; --card: #161b22; --ink: #e8ebef; --quiet: #9ba6b4; --line: #2b323c;
    --before: #6f7b8c; --after: #2fc6b4; --mark: #fb9a5b; --warn: #fdba8c; --warned: #2a1b12; --stripe: #1a2029;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 2.5rem 1.25rem 3rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
body > * { max-width: 68rem; margin-inline: auto; }
h1 { margin: 0 0 .35rem; font-size: clamp(1.5rem, 4vw, 2.2rem); line-height: 1.2; letter-spacing: -.02em; }
h2 { margin: 0 0 .25rem; font-size: 1.1rem; }
p { margin: 0; }
header p, .note, figcaption, caption, footer { color: var(--quiet); font-size: .875rem; }
header { margin-bottom: 1.5rem; }
.name { font-family: ui-monospace, "Cascadia Mono", Menlo, "DejaVu Sans Mono", monospace; font-size: .8125rem;
  overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(12, 1fr); gap: 1rem; margin-block: 0 1rem; }
.tile, section { padding: 1.1rem 1.25rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .75rem; }
.tile { grid-column: span 4; }
.tile.wide { grid-column: span 8; }
.tile dt { color: var(--quiet); font-size: .8125rem; font-weight: 600; }
.tile dd { margin: 0; }
.figure { font-size: clamp(1.25rem, 2.6vw, 1.75rem); font-weight: 650; letter-spacing: -.015em;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.figure.long { font-size: 1.1rem; letter-spacing: 0; }
.figure.most { color: var(--after); }
.arrow { color: var(--quiet); font-weight: 400; }
section { margin-bottom: 1rem; }
.problems { background: var(--warned); border-color: var(--warn); }
ul { list-style: none; margin: .5rem 0 0; padding: 0; display: grid; gap: .35rem; }
.tag { display: inline-block; min-width: 6.5em; margin-right: .6em; padding: .05em .6em; border: 1px solid;
  border-radius: 1em; font-size: .75rem; font-weight: 650; text-align: center; }
.problem .tag { color: var(--warn); }
.remark .tag { color: var(--quiet); }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; margin-top: .5rem; font-size: .875rem; }
caption { text-align: left; padding-bottom: .5rem; }
th, td { padding: .45rem .6rem; text-align: left; vertical-align: middle; border-bottom: 1px solid var(--line); }
thead th { color: var(--quiet); font-size: .8125rem; font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 500; }
tbody .id { overflow: clip; }
tbody tr:nth-child(even) { background: var(--stripe); }
tfoot th, tfoot td { border-bottom: 0; font-weight: 650; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
thead .number { white-space: normal; }
.bars { width: 26%; min-width: 8rem; }
.id { min-width: 12rem; max-width: 22rem; }
svg { display: block; width: 100%; }
.note svg { margin-top: .4rem; }
.bar.before { fill: var(--before); }
.bar.after { fill: var(--after); }
.key { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: .5rem 0 0; color: var(--quiet);
  font-size: .8125rem; }
.key svg { display: inline-block; width: 1.4rem; height: .8rem; margin-right: .4rem; vertical-align: -.05rem; }
figure { margin: .5rem 0 0; }
.histogram { min-width: 38rem; }
.histogram .before { fill-opacity: .45; stroke: var(--before); }
.histogram text { fill: var(--quiet); font-size: 12px; font-variant-numeric: tabular-nums; }
.histogram .grid { stroke: var(--line); }
.histogram .axis { stroke: var(--quiet); }
.mark { stroke: var(--mark); stroke-width: 1.5; stroke-dasharray: 5 4; }
.histogram text.marked { fill: var(--mark); font-weight: 600; }
summary { cursor: pointer; color: var(--quiet); font-size: .875rem; margin-top: .5rem; }
.settings { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1.5rem; margin: .5rem 0 0;
  font-size: .875rem; }
.settings dt { color: var(--quiet); }
.settings dd { margin: 0; overflow-wrap: anywhere; overflow: clip; }
.spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media screen and (max-width: 46rem) {
  body { padding: 1.25rem .75rem 2rem; }
  .tile, .tile.wide { grid-column: span 12; }
  .id { min-width: 7rem; }
  .settings { grid-template-columns: 1fr; gap: 0; }
  .settings dd { margin-bottom: .5rem; }
}
@media print {
  :root {
    color-scheme: light;
    --page: #fff; --card: #fff; --ink: #000; --quiet: #444; --line: #bbb; --stripe: #fff;
    --before: #8b95a5; --after: #0b7a6f; --mark: #b4460f; --warn: #9a3412; --warned: #fff;
  }
  body { padding: 0; font-size: .8125rem; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .tile, tr, figure { break-inside: avoid; }
  h2 { break-after: avoid; }
  .scroll { overflow: visible; }
  table { font-size: .75rem; }
  th, td { padding: .3rem .35rem; }
  .histogram, .bars, .id { min-width: 0; }
  details { display: none; }
}
""")
