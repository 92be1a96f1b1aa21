"""The README's figure: some decided claims, what their papers report, our runs, the verdicts."""

import re
from html import escape

from common.reproduce.judge.ledger import Book
from common.reproduce.judge.verdict import NOT_REPRODUCED, POSITIVE, Verdict
from docs.badges import SIGNS
from docs.charts import HEIGHT, marks
from docs.evidence import points_of
from docs.site import HERE, ROOT
from papers import get_paper

FIGURE = HERE / "assets" / "readme.svg"
# Paper, claim and preset: what is reproduced, and what is not. No timings, which any change of the
# code leaves undecided until they are taken again.
PANELS = (
    ("lmu", "capacity-lmu0-t100000-high", "paper"),
    ("lmu", "mackey-glass-hybrid-nrmse", "cpu"),
    ("fast_weights", "setting2-dpfp1-delta-s200", "cpu"),
    ("h3", "associative-recall-s4d", "cpu"),
    ("mamba", "induction-mamba-16384", "cpu"),
    ("echo_state_network", "capacity-linear-gaussian", "cpu"),
)
_COLUMNS, _WIDTH, _PANEL, _EDGE = 2, 400, 158, 20
_DRAWING = re.compile(r"/\* drawing:begin \*/\n(.*?)/\* drawing:end \*/", re.DOTALL)
_COLOURS = re.compile(r"^(?::root|\[data-md-color-scheme=\"slate\"\]) \{\n(.*?)^\}", re.M | re.S)
_LIGHT = "--md-default-fg-color--light: #57606a; --md-default-bg-color: #fff; --text: #1f2328;"
_DARK = "--md-default-fg-color--light: #9da7b3; --md-default-bg-color: #0d1117; --text: #e6edf3;"


def figure() -> str:
    """The SVG, on light or dark ground as its reader has it."""
    rows = -(-len(PANELS) // _COLUMNS)
    width = _COLUMNS * _WIDTH + (_COLUMNS + 1) * _EDGE
    height = rows * _PANEL + 34
    panels = "".join(
        _panel(name, claim, preset, i) for i, (name, claim, preset) in enumerate(PANELS)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="What papers report, and our runs"><style>'
        f'{_style()}</style><rect class="ground" width="100%" height="100%"/>{panels}'
        f'<text class="small" x="{_EDGE}" y="{height - 12}">A point is a seed (hollow: not '
        "accepted), the diamond their mean with its 95 % interval, the line what the paper "
        "reports, the band what is accepted.</text></svg>\n"
    )


def _panel(name: str, claim: str, preset: str, index: int) -> str:
    book = Book(get_paper(name), ROOT / "papers" / name)
    verdict = book.verdict(claim, preset)
    drawn = re.sub(r' data-tip="[^"]*"', "", marks(verdict, points_of(book, verdict)))
    x = _EDGE + (index % _COLUMNS) * (_WIDTH + _EDGE)
    y = (index // _COLUMNS) * _PANEL
    return (
        f'<g transform="translate({x} {y})">'
        f'<text class="name" y="28">{name}</text>{_word(verdict)}'
        f'<text class="small" y="44">{escape(_about(verdict))}</text>'
        f'<svg class="strip" y="50" width="{_WIDTH}" height="{HEIGHT}" overflow="visible">{drawn}'
        "</svg></g>"
    )


def _about(verdict: Verdict) -> str:
    row = verdict.reported
    return f"{row.metric}, {row.variant}" if row.variant else row.metric


def _word(verdict: Verdict) -> str:
    kind = "good" if verdict.word in POSITIVE else "bad" if verdict.word == NOT_REPRODUCED else ""
    return (
        f'<text class="word {kind}" x="{_WIDTH}" y="28" text-anchor="end">'
        f"{SIGNS[verdict.word]} {verdict.word}</text>"
    )


def _style() -> str:
    sheet = (HERE / "assets" / "site.css").read_text(encoding="utf-8")
    drawing = _DRAWING.findall(sheet)[0]
    light, dark = (_used(block, drawing) for block in _COLOURS.findall(sheet)[:2])
    return (
        f":root {{ {light} {_LIGHT} }} "
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} {_DARK} }} }}\n{drawing}"
        "text { font: 11px system-ui, sans-serif; fill: var(--md-default-fg-color--light); }\n"
        ".ground { fill: var(--md-default-bg-color); }\n"
        ".name { font-size: 14px; font-weight: 600; fill: var(--text); }\n"
        ".word { font-size: 12px; font-weight: 600; }\n"
        ".good { fill: var(--good); } .bad { fill: var(--bad); }"
    )


def _used(block: str, drawing: str) -> str:
    """The colours of a block of the style sheet that the drawing names."""
    found = re.findall(r"(--[\w-]+): ([^;]+);", block)
    named = {*re.findall(r"var\((--[\w-]+)\)", drawing), "--good", "--bad"}
    return " ".join(f"{name}: {value};" for name, value in found if name in named)
