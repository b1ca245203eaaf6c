/// How the page looks: one column, light and dark, readable on a telephone.
enum DiffPageStyle {
  static let text = """
    :root {
      --paper: #fcfcfb; --raised: #ffffff; --ink: #1b1d21; --soft: #5d6470; --line: #e2e4e8;
      --accent: #1f5fbf; --second: #c05a12; --cold: #e6eefa; --hot: #0b2f6e; --none: #d0d4da;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --paper: #121417; --raised: #1a1d21; --ink: #e8eaed; --soft: #9aa2ad; --line: #2c3137;
        --accent: #7fb0ff; --second: #f2a25c; --cold: #1d2b45; --hot: #cfe2ff; --none: #3a4048;
      }
    }
    * { box-sizing: border-box; }
    body {
      margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 76rem; background: var(--paper);
      color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
    }
    h1 { margin: 0 0 1rem; font-size: 1.75rem; line-height: 1.2; }
    h2 { margin: 0; font-size: 1.15rem; }
    p { margin: .25rem 0 1rem; color: var(--soft); max-width: 44rem; }
    p.summary { color: var(--ink); font-weight: 600; }
    dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem .75rem; margin: 0 0 1rem; }
    dt { color: var(--soft); }
    dd { margin: 0; overflow-wrap: anywhere; }
    code { font: .85em/1.45 ui-monospace, Menlo, Consolas, monospace; }
    section {
      margin: 1.25rem 0; padding: 1.25rem; background: var(--raised);
      border: 1px solid var(--line); border-radius: .6rem;
    }
    .wide { overflow-x: auto; }
    .grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
    figure { margin: 0; min-width: 0; }
    figcaption { font-size: .8rem; overflow-wrap: anywhere; color: var(--soft); }
    svg { display: block; }
    svg.fluid { width: 100%; max-width: 30rem; height: auto; }
    svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
    svg text.name { font: 11px ui-monospace, Menlo, Consolas, monospace; fill: var(--ink); }
    svg .axis { stroke: var(--line); fill: none; }
    svg .bar, svg .point { fill: var(--accent); }
    svg .point { fill-opacity: .7; }
    svg .line { stroke: var(--accent); fill: none; stroke-width: 1.5; }
    svg .second { stroke: var(--second); }
    svg .ring { stroke: var(--second); fill: var(--raised); stroke-width: 1.5; }
    svg .cell { fill: color-mix(in oklab, var(--hot) var(--heat), var(--cold)); }
    svg .none { fill: var(--none); }
    table { border-collapse: collapse; font-size: .85rem; width: 100%; }
    th, td {
      padding: .35rem .6rem; text-align: left; vertical-align: top;
      border-bottom: 1px solid var(--line);
    }
    th { color: var(--soft); font-weight: 600; white-space: nowrap; }
    td { white-space: nowrap; }
    td:first-child { min-width: 13rem; white-space: normal; }
    table.text td { white-space: normal; overflow-wrap: anywhere; min-width: 9rem; }
    .number { text-align: right; font-variant-numeric: tabular-nums; }
    tbody tr:last-child td { border-bottom: 0; }
    ul { margin: 0; padding-left: 1.2rem; }
    @media (max-width: 40rem) {
      body { padding: 1.25rem .6rem 3rem; }
      section { padding: .9rem; margin: .8rem 0; }
      td:first-child { min-width: 9rem; }
    }
    """
}
