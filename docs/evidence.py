"""The runs behind a verdict, seed by seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from common.reproduce.execute.results import Result, of_fingerprint
from common.reproduce.judge.ledger import Book
from common.reproduce.judge.measure import ratio
from common.reproduce.judge.verdict import Verdict


@dataclass(frozen=True)
class Point:
    """What one seed gave.

    Attributes:
        seed: of the run.
        value: of the claim's quantity or ratio; NaN where the run has none.
        date: of the newest run behind it.
        hardware: of that run.
        commit: of that run.
        attempts: how many runs of the seed there are at these settings.
    """

    seed: int
    value: float
    date: str
    hardware: str
    commit: str
    attempts: int


def points_of(book: Book, verdict: Verdict) -> list[Point]:
    """A point for each seed that a verdict stands on, its newest attempt, as it is judged."""
    if not verdict.preset:
        return []
    claim = verdict.claim
    experiment = book.paper.experiment(claim.experiment)
    seeds = experiment.preset_seeds(verdict.preset)
    sides = [
        of_fingerprint(book.rows, experiment, verdict.preset, quantity.variant)
        for quantity in claim.quantities
    ]
    points = []
    for seed in seeds:
        rows = [[row for row in side if row.seed == seed] for side in sides]
        if all(rows):
            metrics = [one.metric for one in claim.quantities]
            points.append(_point(seed, rows, metrics))
    return points


def _point(seed: int, rows: Sequence[Sequence[Result]], metrics: Sequence[str]) -> Point:
    newest = [of_quantity[-1] for of_quantity in rows]
    values = [
        row.metrics.get(metric, math.nan) for row, metric in zip(newest, metrics, strict=True)
    ]
    last = max(newest, key=lambda row: row.date)
    return Point(
        seed=seed,
        value=values[0] if len(values) == 1 else ratio(*values),
        date=last.date,
        hardware=last.hardware,
        commit=last.commit,
        attempts=max(len(of_quantity) for of_quantity in rows),
    )
