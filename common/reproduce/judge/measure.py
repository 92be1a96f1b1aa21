"""A claim's quantity over its seeds, and whether it is accepted."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from common.reproduce.declare.spec import Claim
from common.reproduce.judge.intervals import (
    LEAST_OF_A_MEDIAN,
    Interval,
    Side,
    above_multiple,
    difference_interval,
    inside,
    mean_interval,
    median_interval,
)
from common.reproduce.judge.reported import Reported


@dataclass(frozen=True)
class Measured:
    """A claim's quantity over the seeds.

    Attributes:
        value: the seeds' aggregate, or the ratio of two; of "each" their mean.
        deviation: sample standard deviation over the seeds (of a ratio, to first order as if its
            sides were independent); None for one seed.
        seeds: how many seeds it stands on.
        interval: 95 % interval of `value`; None where it is not decided by one.
        hold: of "each", how many seeds hold.
    """

    value: float
    deviation: float | None
    seeds: int
    interval: Interval | None = None
    hold: int | None = None


def measure(
    claim: Claim, reported: Reported, above: Sequence[float], below: Sequence[float] = ()
) -> tuple[Measured, Side]:
    """A claim's quantity from the values of its seeds, and whether it is accepted.

    Args:
        claim: the claim.
        reported: its reported row.
        above: values of the quantity, seed by seed.
        below: values of `relative_to`, of the same seeds; none if the claim is on no ratio.

    Returns:
        What was measured, and "yes", "no", or "open" where the interval holds both.
    """
    accepted = claim.accept.interval(reported.value)
    values = [ratio(a, b) for a, b in zip(above, below, strict=True)] if below else list(above)
    if any(math.isnan(value) for value in (*above, *below)):
        # One seed without a value is not to be hidden by a median or a best.
        return Measured(math.nan, None, len(above)), "no"
    if claim.aggregate == "each":
        hold = sum(accepted[0] <= value <= accepted[1] for value in values)
        side: Side = "yes" if hold == len(values) else "open" if hold else "no"
        return Measured(statistics.fmean(values), _deviation(values), len(values), None, hold), side
    if claim.aggregate == "best":
        value = (max if claim.accept.kind == "at_least" else min)(values)
        side = inside((value, value), accepted)
        return Measured(value, _deviation(values), len(values)), side
    middle = statistics.median if claim.aggregate == "median" else statistics.fmean
    value = ratio(middle(above), middle(below)) if below else middle(above)
    deviation = _ratio_deviation(value, above, below) if below else _deviation(above)
    interval = None
    if claim.aggregate == "median" and len(above) < LEAST_OF_A_MEDIAN:
        side = "open"
    elif not (_deviation(above) or _deviation(below)):
        side = inside((value, value), accepted)
    elif claim.aggregate == "median":
        interval = median_interval(above, below)
        side = inside(interval, accepted)
    elif below:
        side = _ratio_side(above, below, accepted)
    else:
        interval = mean_interval(above)
        side = inside(interval, accepted)
        if reported.deviation and (reported.n or 0) > 1 and claim.accept.needs_reported:
            assert reported.value is not None and reported.n is not None
            theirs = (reported.value, reported.deviation, reported.n)
            margin = (accepted[0] - reported.value, accepted[1] - reported.value)
            side = inside(difference_interval(above, *theirs), margin)
    return Measured(value, deviation, len(above), interval), side


def _ratio_side(above: Sequence[float], below: Sequence[float], accepted: Interval) -> Side:
    """Whether above / below is accepted, each finite bound tested without dividing."""
    if statistics.fmean(below) <= 0:
        return "no"
    low, high = accepted
    sides: list[Side] = []
    if math.isfinite(low):
        sides.append(above_multiple(above, below, low))
    if math.isfinite(high):
        opposite: dict[Side, Side] = {"yes": "no", "no": "yes", "open": "open"}
        sides.append(opposite[above_multiple(above, below, high)])
    return "no" if "no" in sides else "open" if "open" in sides else "yes"


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def ratio(above: float, below: float) -> float:
    """The ratio of two values; NaN where the second is 0."""
    return above / below if below else math.nan


def _ratio_deviation(ratio: float, above: Sequence[float], below: Sequence[float]) -> float | None:
    sides = [(_deviation(side), statistics.fmean(side)) for side in (above, below)]
    if any(deviation is None or not mean for deviation, mean in sides):
        return None
    return abs(ratio) * math.hypot(*(deviation / mean for deviation, mean in sides if deviation))
