"""Whether the claims of a paper mean what they say, and a reader finds their numbers."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from common.reproduce.declare.spec import Claim, Paper
from common.reproduce.judge.reported import Reported, load_reported

# Words of a number that nobody can look up, or that nobody reported.
UNSOURCED = (
    "stored text",
    "stored cop",
    "stored conv",
    "from memory",
    "is ours",
    "derived",
    "TODO",
)
# Share of a scale's top from which "at least" says as much as two bounds.
NEAR_THE_TOP = 0.95
_TWO_SIDED = ("relative", "absolute", "between")
_ARXIV = re.compile(r"\d{4}\.\d{4,5}v\d+")


def reported_claims(paper: Paper, directory: Path) -> dict[str, Reported]:
    """The reported row of every claim of `paper`, whose package is in `directory`.

    Raises:
        ValueError: if a claim has none, there are `problems`, or a number has no source.
    """
    rows = load_reported(directory / "reported.csv")
    missing = [claim.id for claim in paper.claims if claim.id not in rows]
    if missing:
        raise ValueError(f"Paper {paper.name!r}: claims {missing} have no row in reported.csv.")
    reported = {claim.id: rows[claim.id] for claim in paper.claims}
    found = [*problems(paper, reported), *source_problems(rows)]
    if found:
        raise ValueError(
            f"Paper {paper.name!r}: {found[0]}" + f" And {len(found) - 1} more." * (len(found) > 1)
        )
    return reported


def problems(paper: Paper, reported: Mapping[str, Reported]) -> list[str]:
    """What keeps the claims of `paper` from meaning what they say, a line each; none is right.

    Args:
        paper: the paper.
        reported: the row of every claim, `reported_claims`.
    """
    found = [
        f"claim {claim.id!r}: {problem}"
        for claim in paper.claims
        for problem in _claim_problems(paper, claim, reported)
    ]
    if not paper.headline.strip():
        found.append(f"headline is {paper.headline!r}, expected the paper's main claim.")
    return found


def source_problems(rows: Mapping[str, Reported]) -> list[str]:
    """What keeps a reader from finding the numbers of a reported.csv, a line each."""
    found = []
    for row in rows.values():
        where = f"id {row.id!r}"
        text = " ".join((row.location, row.variant, row.statement, row.note)).lower()
        found += [f"{where} says {word!r}." for word in UNSOURCED if word.lower() in text]
        if row.arxiv and not _ARXIV.fullmatch(row.arxiv):
            found.append(f"{where}: arxiv is {row.arxiv!r}, expected an id like 2312.00752v2.")
        if not row.url.startswith("https://"):
            found.append(f"{where}: url is {row.url!r}, expected one that starts with https://.")
    return found


def untrained_value(paper: Paper, claim: Claim) -> float | None:
    """The claim's quantity of a guessing, untrained model; None where nothing is trained.

    Of a ratio it is that of the two sides, NaN where the lower one is zero.
    """
    experiment = paper.experiment(claim.experiment)
    sides = [experiment.untrained.get(quantity.metric) for quantity in claim.quantities]
    known = [side for side in sides if side is not None]
    if len(known) < len(sides):
        return None
    if len(known) == 1:
        return known[0]
    return known[0] / known[1] if known[1] else math.nan


def fails_untrained(
    paper: Paper, claim: Claim, reported: Mapping[str, Reported], variant: str
) -> bool:
    """Whether a claim cannot hold where `variant` learned nothing, whatever others learned.

    Either its own quantity is of `variant` alone and outside the tolerance, or a control cannot:
    of a ratio one of the same experiment; of what a model is said not to learn, of any, for which
    the variant of the same name is trained.
    """
    if all(quantity.variant == variant for quantity in claim.quantities):
        untrained = untrained_value(paper, claim)
        value = reported[claim.id].value
        if untrained is not None and not claim.accept.holds(untrained, value):
            return True
    controls = [paper.claim(id) for id in claim.controls]
    return any(
        (claim.relative_to is None or control.experiment == claim.experiment)
        and fails_untrained(paper, control, reported, variant)
        for control in controls
    )


def _near_the_top(paper: Paper, claim: Claim, row: Reported) -> bool:
    """Whether a model's reported share of successes leaves no room above it to speak of."""
    top = 100.0 if row.unit == "%" else 1.0
    return (
        paper.experiment(claim.experiment).kind == "training"
        and claim.relative_to is None
        and claim.accept.kind == "at_least"
        and row.value is not None
        and NEAR_THE_TOP * top <= row.value <= top
    )


def _claim_problems(paper: Paper, claim: Claim, reported: Mapping[str, Reported]) -> list[str]:
    experiment = paper.experiment(claim.experiment)
    row = reported[claim.id]
    found: list[str] = []
    if row.value is None and claim.accept.needs_reported:
        return [f"accept is {claim.accept}, expected bounds: its row in reported.csv has no value."]
    if row.value is None and claim.kind == "number":
        found.append("kind is 'number', expected 'ordering': its row in reported.csv has no value.")
    elif claim.kind == "number" and not (
        claim.accept.kind in _TWO_SIDED or _near_the_top(paper, claim, row)
    ):
        found.append(
            f"accept is {claim.accept}, expected two bounds of a number: better than reported is "
            "not the same number, unless nothing better than reported can be."
        )
    if claim.aggregate == "best" and row.best_of != len(experiment.seeds):
        found.append(
            f"aggregate is 'best' over {len(experiment.seeds)} seeds, expected a row in "
            f"reported.csv whose statistic is 'best of {len(experiment.seeds)}', it is "
            f"{row.statistic!r}."
        )
    if experiment.kind != "training":
        return found
    lacking = [q.metric for q in claim.quantities if q.metric not in experiment.untrained]
    if lacking:
        found.append(f"experiment {experiment.name!r} lacks {lacking} in untrained.")
        return found
    untrained = untrained_value(paper, claim)
    assert untrained is not None
    negative = claim.relative_to is None and claim.accept.holds(untrained, row.value)
    if negative and claim.aggregate == "best":
        found.append("aggregate is 'best', the seed that learned least, expected 'each'.")
    for variant in dict.fromkeys(quantity.variant for quantity in claim.quantities):
        if not fails_untrained(paper, claim, reported, variant):
            expected = (
                f"those of a ratio: one that {variant!r} fails where it learned nothing"
                if claim.relative_to is not None
                else f"one that {variant!r} fails where it learned nothing, whose "
                f"{untrained:g} satisfies the claim"
            )
            found.append(f"controls is {claim.controls}, expected {expected}.")
    for one in claim.controls:
        control = paper.claim(one)
        if paper.experiment(control.experiment).kind != "training":
            found.append(f"control {one!r} is of {control.experiment!r}, expected one that trains.")
    return found
