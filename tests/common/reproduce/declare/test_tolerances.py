import math

import pytest

from common.reproduce.declare.tolerances import (
    at_least,
    at_most,
    between,
    within_absolute,
    within_relative,
)


@pytest.mark.parametrize(
    "accept, reported, inside, outside",
    [
        (within_relative(0.1), 2.0, (1.81, 2.19), (1.79, 2.21)),
        (within_relative(0.1), -2.0, (-2.19, -1.81), (-2.21, -1.79)),
        (within_absolute(0.5), 2.0, (1.5, 2.5), (1.4, 2.6)),
        (at_most(), 2.0, (2.0, -5.0), (2.1, math.inf)),
        (at_most(3.0), 2.0, (3.0,), (3.1,)),
        (at_least(), 2.0, (2.0, 9.0), (1.9,)),
        (at_least(1.0), 2.0, (1.0,), (0.9,)),
        (between(1.0, 3.0), 9.0, (1.0, 3.0), (0.9, 3.1)),
    ],
)
def test_acceptance(accept, reported, inside, outside):
    assert all(accept.holds(value, reported) for value in inside)
    assert not any(accept.holds(value, reported) for value in (*outside, math.nan))


def test_acceptance_is_described():
    described = [
        accept.describe(2.0)
        for accept in (
            within_relative(0.1),
            within_absolute(0.5),
            at_most(),
            at_least(1.0),
            between(1.0, 3.0),
        )
    ]
    assert described == ["± 10 %", "± 0.5", "≤ 2", "≥ 1", "1 to 3"]


@pytest.mark.parametrize("tolerance", [within_relative, within_absolute])
@pytest.mark.parametrize("value", [0.0, -1.0, math.inf])
def test_tolerances_are_positive(tolerance, value):
    with pytest.raises(ValueError, match="expected a"):
        tolerance(value)


def test_between_is_ordered():
    with pytest.raises(ValueError, match="low is 3"):
        between(3.0, 1.0)
