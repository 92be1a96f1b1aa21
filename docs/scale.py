"""An axis: what a value's place on it is, and where its ticks are."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

# A range of values that spans more than this is drawn on a logarithmic axis.
WIDE = 30.0
PADDING = 0.08
# Ends of an axis are at least this far from the middle, as ticks have four figures.
NARROW = 2e-3


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic axis.

    Attributes:
        low: value at its left end.
        high: value at its right end.
        logarithmic: whether equal distances are equal ratios.
    """

    low: float
    high: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where `value` is, 0 at the left end and 1 at the right one."""
        low, high, at = self._map(self.low), self._map(self.high), self._map(value)
        return (at - low) / (high - low)

    def clipped(self, value: float) -> float:
        """`place`, 0 or 1 for what lies outside."""
        if self.logarithmic and value <= 0:
            return 0.0
        return 0.0 if value < self.low else 1.0 if value > self.high else self.place(value)

    def ticks(self) -> list[float]:
        """Three to six round values."""
        if not self.logarithmic:
            return self._linear_ticks()
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        decades = [10.0**power for power in range(first, last + 1)]
        if len(decades) > 6:
            return decades[:: math.ceil(len(decades) / 5)]
        if len(decades) >= 3:
            return decades
        steps = [1, 2, 5] if decades else [1, 1.5, 2, 3, 4, 5, 6, 8]
        finer = [step * 10.0**power for power in range(first - 1, last + 1) for step in steps]
        return [value for value in finer if self.low <= value <= self.high]

    def _linear_ticks(self) -> list[float]:
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]

    def _map(self, value: float) -> float:
        return math.log(value) if self.logarithmic else value


def scale_of(values: Iterable[float]) -> Scale:
    """The axis that shows all finite `values`, with room at its ends."""
    found = sorted(value for value in values if math.isfinite(value))
    low, high = found[0], found[-1]
    if low > 0 and high / low > WIDE:
        room = (high / low) ** PADDING
        return Scale(low / room, high * room, logarithmic=True)
    room = max(PADDING * (high - low), NARROW * abs(high)) or 1.0
    return Scale(low - room, high + room)


def number(value: float) -> str:
    """A value in four figures, as the ledger has it, with a thousands' sign."""
    if value != value:
        return "no value"
    if 1e4 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    return f"{value:.4g}".replace("-", "−")
