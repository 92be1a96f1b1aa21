"""A paper's claims as HTML: what is reported, the runs drawn, the verdict and why."""

import re
from collections.abc import Sequence
from html import escape

from common.reproduce.declare.spec import Experiment
from common.reproduce.judge import words
from common.reproduce.judge.ledger import Book
from common.reproduce.judge.tables import source
from common.reproduce.judge.verdict import NOT_RUN, Verdict
from docs.badges import badge
from docs.charts import strip
from docs.evidence import Point, points_of

LEGEND = (
    '<ul class="legend">'
    '<li><svg width="26" height="16"><circle class="run" cx="8" cy="8" r="4.5"/>'
    '<circle class="run outside" cx="19" cy="8" r="4.5"/></svg>a seed; hollow: not accepted</li>'
    '<li><svg width="26" height="16"><line class="interval" x1="1" x2="25" y1="8" y2="8"/>'
    '<path class="mean" d="M13 1L20 8L13 15L6 8Z"/></svg>their mean (or median, or best), 95 % '
    "interval</li>"
    '<li><svg width="26" height="16"><rect class="deviation" x="5" width="16" height="16"/>'
    '<line class="reported" x1="13" x2="13" y1="0" y2="16"/></svg>what the paper reports, ± as '
    "published</li>"
    '<li><svg width="26" height="16"><rect class="accepted" width="26" height="16"/></svg>what is '
    "accepted</li></ul>\n"
)


def anchor(verdict: Verdict, first: bool = True) -> str:
    """The id of a claim on its paper's page; a second preset's has its name."""
    return f"claim-{verdict.claim.id}" + ("" if first else f"-{verdict.preset}")


def prose(text: str) -> str:
    """A sentence of a CSV or a declaration as HTML: code between backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def claims_markdown(book: Book) -> str:
    """Every claim of a paper, under the experiment that measures it."""
    verdicts = book.verdicts()
    parts = [LEGEND]
    for experiment in book.paper.experiments:
        mine = [one for one in verdicts if one.claim.experiment == experiment.name]
        if mine:
            parts.append(f"### {experiment.name} {{#experiment-{experiment.name}}}\n")
            parts.append(_about(experiment))
            by_claim: dict[str, list[Verdict]] = {}
            for one in mine:
                by_claim.setdefault(one.claim.id, []).append(one)
            parts += [_claim(book, group) for group in by_claim.values()]
    if book.paper.not_attempted:
        parts.append("### Not attempted\n")
        parts.append("\n".join(f"- {text}" for text in book.paper.not_attempted) + "\n")
    return "\n".join(parts)


def _about(experiment: Experiment) -> str:
    reduced = experiment.presets["cpu"].reduces
    return f"{experiment.description}." + (f" At the preset cpu: {reduced}" * bool(reduced)) + "\n"


def _claim(book: Book, verdicts: Sequence[Verdict]) -> str:
    """A claim with a drawing a preset; of presets with the same runs one."""
    parts: list[str] = []
    drawn: list[list[tuple[int, float]]] = []
    for verdict in verdicts:
        points = points_of(book, verdict)
        values = [(point.seed, point.value) for point in points]
        id = anchor(verdict, verdict is verdicts[0])
        if points and values in drawn:
            parts.append(_measured(verdict, [], id, "by the same runs"))
        else:
            parts.append(_measured(verdict, points, id))
        drawn.append(values)
    main, row = verdicts[0], verdicts[0].reported
    said = f"<b>{escape(words.reported(main))}</b>"
    if row.value is not None and row.statement:
        said += f" – {prose(row.statement)}"
    if row.value is not None:
        said = f"{escape(row.metric)}, {escape(row.variant)}: {said}"
    controls = "".join(
        f', <a href="#claim-{id}"><code>{id}</code></a>' for id in main.claim.controls
    )
    rests = f" It rests on {controls[2:]}." if controls else ""
    return (
        f'<section class="claim"><h4><code>{main.claim.id}</code></h4>'
        f'<p>{said} <a href="{escape(row.url, quote=True)}">{escape(source(main))}</a></p>'
        + "".join(parts)
        + f'<p class="why">Accepted {escape(words.tolerance(main))}: '
        f"{prose(main.claim.reason)}{rests}</p></section>\n"
    )


def _measured(verdict: Verdict, points: Sequence[Point], id: str, more: str = "") -> str:
    preset = f" ({verdict.preset})" if verdict.preset else ""
    post_hoc = ", post hoc" if verdict.post_hoc else ""
    # The word is in the badge, what follows it is why.
    why = words.word(verdict).removeprefix(verdict.word).removeprefix(", post hoc").lstrip(":; ")
    measured = words.measured(verdict) if verdict.word != NOT_RUN else ""
    text = f'<p class="verdict" id="{id}">{badge(verdict.word)}{post_hoc} '
    text += f'<span class="grade">{verdict.grade}{preset}</span> '
    text += f"<b>{escape(measured)}</b> " if measured else ""
    text += f"<span>{escape(why or more)}</span></p>"
    if missing := [str(point.seed) for point in points if point.value != point.value]:
        text += f'<p class="why">No value: seed {", ".join(missing)}.</p>'
    if note := words.note(verdict):
        text += f'<p class="note">{prose(note)}</p>'
    return text + strip(verdict, points)
