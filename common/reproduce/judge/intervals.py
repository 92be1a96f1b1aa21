"""What a few seeds say: 95 % intervals, and on which side of a bound they leave a value."""

import math
import statistics
from collections.abc import Sequence
from typing import Literal

Side = Literal["yes", "no", "open"]
Interval = tuple[float, float]

CONFIDENCE = 0.95
RESAMPLES = 2000
# Of five values not even the least and the greatest hold the median with 95 %: 1 - 2 / 2**5.
LEAST_OF_A_MEDIAN = 6


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's t interval of the mean of the population that `values` are drawn from."""
    return _around(statistics.fmean(values), _error(values), len(values) - 1)


def difference_interval(values: Sequence[float], mean: float, deviation: float, n: int) -> Interval:
    """Welch's interval of how far the mean of `values` lies above that of `n` others.

    Args:
        values: ours, two at least.
        mean: of the others.
        deviation: of the others, the sample standard deviation.
        n: how many others, two at least.
    """
    ours, theirs = _error(values), deviation / math.sqrt(n)
    freedom = _welch_freedom((ours, len(values) - 1), (theirs, n - 1))
    return _around(statistics.fmean(values) - mean, math.hypot(ours, theirs), freedom)


def above_multiple(above: Sequence[float], below: Sequence[float], factor: float) -> Side:
    """Whether the mean of `above` is at least `factor` times that of `below`, by Welch's test."""
    difference = statistics.fmean(above) - factor * statistics.fmean(below)
    first, second = _error(above), abs(factor) * _error(below)
    error = math.hypot(first, second)
    if error == 0.0:
        return "yes" if difference >= 0 else "no"
    freedom = _welch_freedom((first, len(above) - 1), (second, len(below) - 1))
    return inside(_around(difference, error, freedom), (0.0, math.inf))


def median_interval(values: Sequence[float], below: Sequence[float] = ()) -> Interval:
    """Percentile bootstrap of the median, or of the ratio to the median of `below`."""
    import numpy as np

    generator = np.random.default_rng(0)

    def medians(numbers: Sequence[float]) -> "np.ndarray":
        picked = generator.integers(len(numbers), size=(RESAMPLES, len(numbers)))
        return np.median(np.asarray(numbers, float)[picked], axis=1)

    found = medians(values)
    if below:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = found / medians(below)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def inside(interval: Interval, accepted: Interval) -> Side:
    """Whether all of `interval` is accepted, "no" if none of it is; NaN never is."""
    if any(math.isnan(end) for end in interval):
        return "no"
    if accepted[0] <= interval[0] and interval[1] <= accepted[1]:
        return "yes"
    if interval[1] < accepted[0] or accepted[1] < interval[0]:
        return "no"
    return "open"


def _error(values: Sequence[float]) -> float:
    """Standard error of the mean; 0 of one value."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def _welch_freedom(*sides: tuple[float, int]) -> float:
    """Degrees of freedom after Welch and Satterthwaite, of (standard error, degrees) a side."""
    known = [(error, freedom) for error, freedom in sides if error > 0 and freedom > 0]
    if not known:
        return math.inf
    total = sum(error**2 for error, _ in known) ** 2
    return total / sum(error**4 / freedom for error, freedom in known)


def _around(centre: float, error: float, freedom: float) -> Interval:
    if error == 0.0:
        return centre, centre
    from scipy.special import stdtrit

    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return centre - half, centre + half
