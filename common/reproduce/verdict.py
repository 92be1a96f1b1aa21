"""Verdicts: what was measured against what was reported."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from common.reproduce.reported import Reported
from common.reproduce.results import Values
from common.reproduce.spec import Claim, Paper, Preset, Quantity

REPRODUCED = "reproduced"
REDUCED = "reproduced at reduced scale"
NOT_REPRODUCED = "not reproduced"
NOT_RUN = "not run"
SMOKE = "smoke only"

_AGGREGATES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.fmean,
    "median": statistics.median,
}


@dataclass(frozen=True)
class Measured:
    """A claim's quantity over the seeds.

    Attributes:
        value: the aggregate of the seeds, or the ratio of two.
        deviation: sample standard deviation over the seeds (of a ratio, to first order as if its
            sides were independent); None for one seed.
        seeds: how many seeds it stands on.
    """

    value: float
    deviation: float | None
    seeds: int


@dataclass(frozen=True)
class Verdict:
    """A row of the verdict table.

    Attributes:
        paper: name of the paper.
        claim: the claim.
        reported: what the paper says.
        expected_seeds: seeds that a full result takes.
        preset: name of the preset measured, empty if not run.
        measured: what we got, None if not run.
        word: one of the words above.
        note: why the recorded runs are as they are, if there is something to say.
    """

    paper: str
    claim: Claim
    reported: Reported
    expected_seeds: int
    preset: str
    measured: Measured | None
    word: str
    note: str = ""


def measure(claim: Claim, values: Values) -> Measured | None:
    """The claim's quantity from the values of the seeds; None where one is missing."""
    sides = [_aggregate(claim, quantity, values) for quantity in claim.quantities]
    measured = [side for side in sides if side is not None]
    if len(measured) < len(sides):
        return None
    if len(measured) == 1:
        return measured[0]
    above, below = measured
    ratio = above.value / below.value if below.value else math.nan
    deviation = None
    if above.deviation is not None and below.deviation is not None and above.value * below.value:
        relative = math.hypot(above.deviation / above.value, below.deviation / below.value)
        deviation = abs(ratio) * relative
    return Measured(ratio, deviation, min(above.seeds, below.seeds))


def judge(
    paper: Paper,
    claim: Claim,
    reported: Reported,
    preset: str,
    values: Values,
) -> Verdict:
    """The verdict on `claim` from values measured at `preset`."""
    experiment = paper.experiment(claim.experiment)
    measured = measure(claim, values)
    if measured is None:
        word, preset = NOT_RUN, ""
    elif preset == "smoke":
        word = SMOKE
    else:
        word = _word(claim, reported, experiment.presets[preset], measured)
    return Verdict(paper.name, claim, reported, len(experiment.seeds), preset, measured, word)


def _word(claim: Claim, reported: Reported, preset: Preset, measured: Measured) -> str:
    if not claim.accept.holds(measured.value, reported.value):
        return NOT_REPRODUCED
    return REPRODUCED if preset.scale == "paper" else REDUCED


def _aggregate(claim: Claim, quantity: Quantity, values: Values) -> Measured | None:
    seeds = values.get((quantity.variant, quantity.metric))
    if not seeds:
        return None
    numbers = [seeds[seed] for seed in sorted(seeds)]
    if any(math.isnan(number) for number in numbers):
        # One seed that diverged is not to be hidden by a median or a minimum.
        return Measured(math.nan, None, len(numbers))
    deviation = statistics.stdev(numbers) if len(numbers) > 1 else None
    return Measured(_aggregate_of(claim)(numbers), deviation, len(numbers))


def _aggregate_of(claim: Claim) -> Callable[[Sequence[float]], float]:
    upwards = claim.accept.kind != "at_most"
    if claim.aggregate == "best":
        return max if upwards else min
    if claim.aggregate == "each":
        return min if upwards else max
    return _AGGREGATES[claim.aggregate]
