"""What a measured value must be, given the reported one. Standard library only."""

import math
from dataclasses import dataclass
from typing import Literal

from common.reproduce.declare.require import require, require_number


@dataclass(frozen=True)
class Acceptance:
    """The interval a measured value must fall into, given the reported one.

    Make one with `within_relative`, `within_absolute`, `at_most`, `at_least` or `between`.
    """

    kind: Literal["relative", "absolute", "at_most", "at_least", "between"]
    bounds: tuple[float, ...] = ()

    @property
    def needs_reported(self) -> bool:
        """Whether the interval depends on the reported value."""
        return self.kind in ("relative", "absolute") or not self.bounds

    def interval(self, reported: float | None) -> tuple[float, float]:
        """Lowest and highest accepted value, both included.

        Raises:
            ValueError: if there is no reported value and the interval depends on it.
        """
        bounds = self.bounds
        if reported is None:
            require(not self.needs_reported, "reported", reported, "a number")
            reported = math.nan
        if self.kind == "relative":
            return reported - bounds[0] * abs(reported), reported + bounds[0] * abs(reported)
        if self.kind == "absolute":
            return reported - bounds[0], reported + bounds[0]
        if self.kind == "at_most":
            return -math.inf, bounds[0] if bounds else reported
        if self.kind == "at_least":
            return bounds[0] if bounds else reported, math.inf
        return bounds[0], bounds[1]

    def holds(self, value: float, reported: float | None) -> bool:
        """Whether `value` is accepted; NaN never is."""
        low, high = self.interval(reported)
        return low <= value <= high

    def describe(self, reported: float | None) -> str:
        """The tolerance as the verdict table prints it."""
        low, high = self.interval(reported)
        if self.kind == "relative":
            return f"± {100 * self.bounds[0]:g} %"
        if self.kind == "absolute":
            return f"± {self.bounds[0]:g}"
        if self.kind == "at_most":
            return f"≤ {high:g}"
        if self.kind == "at_least":
            return f"≥ {low:g}"
        return f"{low:g} to {high:g}"


def within_relative(fraction: float) -> Acceptance:
    """Accepts values within `fraction` (0.1 is 10 %) of the reported one."""
    return Acceptance("relative", _positive("fraction", fraction))


def within_absolute(difference: float) -> Acceptance:
    """Accepts values within `difference`, in the metric's unit, of the reported one."""
    return Acceptance("absolute", _positive("difference", difference))


def at_most(bound: float | None = None) -> Acceptance:
    """Accepts values up to `bound`, by default up to the reported value."""
    return Acceptance("at_most", _optional(bound))


def at_least(bound: float | None = None) -> Acceptance:
    """Accepts values from `bound`, by default from the reported value."""
    return Acceptance("at_least", _optional(bound))


def between(low: float, high: float) -> Acceptance:
    """Accepts values from `low` to `high`."""
    require_number("low", low)
    require_number("high", high)
    require(low <= high, "low", low, f"at most high = {high!r}")
    return Acceptance("between", (low, high))


def _positive(what: str, bound: float) -> tuple[float, ...]:
    require_number(what, bound)
    require(bound > 0, what, bound, "a positive number")
    return (bound,)


def _optional(bound: float | None) -> tuple[float, ...]:
    if bound is None:
        return ()
    require_number("bound", bound)
    return (bound,)
