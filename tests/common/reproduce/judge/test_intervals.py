"""Against SciPy's tests, which nothing here is made of, and arithmetic by hand."""

import math

import pytest
from scipy import stats

from common.reproduce.judge.intervals import (
    above_multiple,
    difference_interval,
    inside,
    mean_interval,
    median_interval,
)

OURS = [0.31, 0.28, 0.35, 0.30]
THEIRS = [0.20, 0.27, 0.22]


def test_mean_interval_by_hand():
    # mean 2, deviation 1, and t of two degrees of freedom is 4.302653.
    low, high = mean_interval([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))


def test_mean_interval_of_equal_or_single_values_is_the_value():
    assert mean_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)
    assert mean_interval([0.5]) == (0.5, 0.5)


def test_difference_interval_is_welch():
    mean, deviation = stats.tmean(THEIRS), stats.tstd(THEIRS)
    expected = stats.ttest_ind(OURS, THEIRS, equal_var=False).confidence_interval(0.95)
    found = difference_interval(OURS, mean, deviation, len(THEIRS))
    assert found == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("factor, side", [(0.9, "yes"), (1.3, "open"), (3.0, "no")])
def test_above_multiple_is_welch(factor, side):
    test = stats.ttest_ind(OURS, [factor * one for one in THEIRS], equal_var=False)
    low, high = test.confidence_interval(0.95)
    assert side == ("yes" if low >= 0 else "no" if high < 0 else "open")
    assert above_multiple(OURS, THEIRS, factor) == side


def test_above_multiple_of_exact_values():
    assert above_multiple([2.0], [1.0], 2.0) == "yes"
    assert above_multiple([2.0], [1.0], 2.1) == "no"


def test_median_interval():
    # Of three values the median of a resample is the least in 7 of 27 cases, so all of them count.
    assert median_interval([3.0, 1.0, 2.0]) == (1.0, 3.0)
    assert median_interval([3.0, 1.0, 2.0], [2.0, 2.0, 2.0]) == (0.5, 1.5)
    # Of nine values, ranks 2 to 8: 0.0258 is the chance of the median at rank 2 or below, 0.0016
    # at rank 1 (of Bin(9, k / 9), five and more).
    low, high = median_interval([float(i) for i in range(1, 10)])
    assert low in (2.0, 3.0) and high in (7.0, 8.0)
    assert median_interval([float(i) for i in range(1, 10)]) == (low, high)


@pytest.mark.parametrize(
    "interval, side",
    [
        ((1.0, 2.0), "yes"),
        ((0.5, 1.5), "open"),
        ((1.5, 2.5), "open"),
        ((0.5, 2.5), "open"),
        ((0.1, 0.9), "no"),
        ((2.1, 3.0), "no"),
        ((math.nan, 1.5), "no"),
    ],
)
def test_inside(interval, side):
    assert inside(interval, (1.0, 2.0)) == side
