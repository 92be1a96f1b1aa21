"""What a paper reports: its reported.csv."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.reproduce.declare.spec import Claim, Paper
from common.reproduce.files import read_csv

COLUMNS = (
    "id",
    "paper",
    "arxiv",
    "location",
    "url",
    "metric",
    "variant",
    "value",
    "deviation",
    "n",
    "statistic",
    "unit",
    "statement",
    "note",
)

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

_ARXIV = re.compile(r"\d{4}\.\d{4,5}v\d+")
_BEST_OF = re.compile(r"best of (\d+)")


@dataclass(frozen=True)
class Reported:
    """A row of reported.csv.

    Attributes:
        id: unique within the file; a `Claim` names it.
        paper: the source, where that is another paper than the one of the directory; else empty.
        arxiv: id with version, e.g. 2312.00752v2; empty for what is not on arXiv.
        location: table with row and column, figure or section.
        url: where it can be read.
        metric: what the number measures.
        variant: of which model or setting.
        value: the number; None where the source gives none.
        deviation: as published, else None.
        n: how many runs it stands on, as published, else None.
        statistic: "one run", "mean", "median", "best of 3", "unknown".
        unit: of the number; empty for a plain one.
        statement: without a number, what the source states, in our words.
        note: anything else.
    """

    id: str
    paper: str
    arxiv: str
    location: str
    url: str
    metric: str
    variant: str
    value: float | None
    deviation: float | None
    n: int | None
    statistic: str
    unit: str
    statement: str
    note: str

    @property
    def best_of(self) -> int | None:
        """Of how many runs the number is the best; None if it is no such number."""
        match = _BEST_OF.fullmatch(self.statistic)
        return int(match[1]) if match else None


def load_reported(path: Path) -> dict[str, Reported]:
    """Rows of a reported.csv by id.

    Raises:
        ValueError: if the columns differ, an id comes twice, a number is no finite one, a row has
            neither value nor statement, or an id, location, url, metric or statistic is empty.
    """
    rows: dict[str, Reported] = {}
    for row in read_csv(path, COLUMNS):
        where = f"{path}, id {row['id']!r}"
        for column in ("id", "location", "url", "metric", "statistic"):
            if not row[column].strip():
                raise ValueError(f"{where}: {column} is {row[column]!r}, expected some text.")
        if row["id"] in rows:
            raise ValueError(f"{where}: comes twice, expected once.")
        value, deviation = (_number(row, column, where) for column in ("value", "deviation"))
        n = _number(row, "n", where)
        if n is not None and (n != int(n) or n < 1):
            raise ValueError(f"{where}: n is {row['n']!r}, expected a positive integer.")
        if value is None and not row["statement"].strip():
            raise ValueError(f"{where}: value and statement are '', expected one of them.")
        numbers = {"value": value, "deviation": deviation, "n": None if n is None else int(n)}
        rows[row["id"]] = Reported(**{**row, **numbers})  # type: ignore[arg-type]
    return rows


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


def _two_sided(claim: Claim) -> bool:
    return claim.accept.kind in ("relative", "absolute", "between")


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
    elif claim.kind == "number" and not (_two_sided(claim) or _near_the_top(paper, claim, row)):
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


def _number(row: Mapping[str, str], column: str, where: str) -> float | None:
    if not row[column].strip():
        return None
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where}: {column} is {row[column]!r}, expected a finite number.")
    return value
