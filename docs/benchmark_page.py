"""The recorded benchmarks: one chart over T, one beside the machine's limits."""

import json
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.claims import SpeedClaim, speed_claims
from benchmarks.peers import library_of
from benchmarks.report import NOTES
from benchmarks.rows import OK, read_rows
from docs.badges import SIGNS, badge
from docs.growth import growth_section
from docs.links import to_site
from papers import list_papers

# What a series can be drawn by: column to its name with unit.
MEASURES = {
    "median_ms": "time (ms)",
    "tokens_per_s": "throughput (tokens/s)",
    "gflop_per_s": "arithmetic (GFLOP/s)",
    "peak_bytes": "peak memory (bytes)",
    "state_bytes": "state (bytes)",
    "compile_s": "first call (s)",
}
RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
SPEEDS = ("paper", "claim", "reported", "hardware", "measured", "verdict")
# Columns of a row that the charts have, in the order in which the script reads them.
FIELDS = (
    "layer",
    "name",
    "compiler",
    "mode",
    "length",
    *MEASURES,
    "p20_ms",
    "p80_ms",
    "flops",
    "floor_bytes",
    "doubt",
)


def run_data(directory: Path) -> dict[str, Any]:
    """A recorded run as its charts read it."""
    facts = json.loads((directory / "environment.json").read_text(encoding="utf-8"))
    rows = [row for row in read_rows(directory, "run") if row.status == OK]
    return {
        "name": directory.name,
        "hardware": facts["hardware"],
        "date": facts["date"][:10],
        "commit": facts["commit"][:7],
        "command": facts["command"],
        "backend": facts["backend"],
        "batch": rows[0].batch,
        "dtype": rows[0].dtype,
        "roofline": facts["roofline"],
        "fields": FIELDS,
        "peers": sorted({row.name for row in rows if library_of(row.name)}),
        "rows": [[_short(getattr(row, field)) for field in FIELDS] for row in rows],
    }


def _short(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value


def benchmark_page(runs: list[dict[str, Any]]) -> str:
    """Markdown of `benchmarks/index.md`; the script draws what its data have."""
    options = "".join(
        f'<option value="{run["name"]}">{run["date"]}, {run["hardware"]}, {run["backend"]}</option>'
        for run in runs
    )
    measures = "".join(f'<option value="{key}">{text}</option>' for key, text in MEASURES.items())
    notes = "\n\n".join(NOTES)
    return (
        "---\ntitle: Benchmarks\nhide: [toc]\nscripts: [chart.js, benchmarks.js]\n---\n\n"
        "# Benchmarks\n\n"
        "Every form of every layer beside the layers of other libraries at the same width, as "
        "`python -m benchmarks` recorded them. [The speeds that papers report](speeds.md), "
        "[what was measured and tried](notes.md).\n\n"
        '<form class="filters" id="benchmark" aria-label="What to draw">'
        f'<label>run<select name="run">{options}</select></label>'
        '<label>layer<select name="layer"></select></label>'
        '<label>pass<select name="mode"></select></label>'
        f'<label>measure<select name="measure">{measures}</select></label></form>\n\n'
        '<p id="facts" class="facts"></p>\n\n'
        "## Over the length T\n\n"
        '<figure class="chart" id="over-length"></figure>\n\n'
        '<fieldset class="series" id="series"><legend>forms and peers</legend></fieldset>\n\n'
        '<details class="values"><summary>The values drawn</summary>'
        '<div class="ledger-scroll"><table id="values"></table></div></details>\n\n'
        "## Beside the machine's limits\n\n"
        "Each form of each layer at the longest T: the arithmetic that it does a second, against "
        "the arithmetic that it has to do for a byte that it has to move. The roof is a large "
        "matrix product and a copy, measured in the same run.\n\n"
        '<figure class="chart" id="roofline"></figure>\n\n'
        f"{_growth(runs)}"
        "## How it is measured\n\n"
        f"{notes}\n"
    )


def _growth(runs: list[dict[str, Any]]) -> str:
    """The section on the newest run with rows of streams; empty where there is none."""
    for run in sorted(runs, key=lambda run: run["date"], reverse=True):
        if any("stream" in row for row in run["rows"]):
            rows = read_rows(RESULTS / run["name"], "run")
            return growth_section(run, [row for row in rows if row.status == OK])
    return ""


def speeds_page() -> str:
    """Markdown of `benchmarks/speeds.md`: the speeds that papers report, beside ours."""
    head = "".join(f'<th scope="col">{name}</th>' for name in SPEEDS)
    rows = "\n".join(_speed(claim) for claim in speed_claims(list_papers()))
    return (
        "---\nhide: [navigation, toc]\nsearch: {exclude: true}\n---\n\n# Reported speeds\n\n"
        "Every speed and memory that a paper reports, what it compared with, and what ours is a "
        "ratio of. Another machine is another setting: see the hardware.\n\n"
        f'<div class="ledger-scroll"><table class="ledger speeds"><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{rows}\n</tbody></table></div>\n"
    )


def _speed(claim: SpeedClaim) -> str:
    known = claim.verdict in SIGNS
    link = f'<a href="../../papers/{claim.paper}/#claim-{claim.claim}">' if known else ""
    cells = (
        f'<a href="../../papers/{claim.paper}/">{claim.paper}</a>',
        f"{link}<code>{claim.claim}</code>{'</a>' * bool(link)}",
        escape(claim.reported) + _against(claim.baseline),
        escape(claim.hardware),
        escape(claim.recorded) + _against(claim.our_baseline),
        badge(claim.verdict) if known else escape(claim.verdict),
    )
    text = "".join(
        f'<td data-label="{name}"><div>{html}</div></td>'
        for name, html in zip(SPEEDS, cells, strict=True)
    )
    return f"<tr>{text}</tr>"


def _against(baseline: str) -> str:
    return "" if baseline == "–" else f"<small>against {escape(baseline)}</small>"


def notes_page(root: Path) -> str:
    """Markdown of `benchmarks/notes.md`."""
    text = (root / "benchmarks" / "NOTES.md").read_text(encoding="utf-8")
    return to_site(text, "benchmarks/NOTES.md", "benchmarks/notes.md")
