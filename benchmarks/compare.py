"""This run against an earlier one."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.rows import OK, Row


@dataclass(frozen=True)
class Slowdown:
    """A cell that became slower, or stopped working."""

    row: Row
    before: Row

    @property
    def ratio(self) -> float:
        """Median now over median before; infinite where there is none now."""
        if self.row.median_ms is None or self.before.median_ms is None:
            return float("inf")
        return self.row.median_ms / self.before.median_ms


def slowdowns(rows: Sequence[Row], before: Sequence[Row], threshold: float) -> list[Slowdown]:
    """Cells of both runs whose median grew by more than `threshold` (0.1 is 10 %).

    A cell that had a time and has none now counts too. Derived times, differences of two noisy
    ones, do not; nor do times in doubt.
    """
    earlier = {
        row.key: row
        for row in before
        if row.status == OK and row.p20_ms is not None and not row.doubt
    }
    pairs = [
        Slowdown(row, earlier[row.key]) for row in rows if row.key in earlier and not row.doubt
    ]
    slower = [pair for pair in pairs if pair.ratio > 1 + threshold]
    return sorted(slower, key=lambda pair: -pair.ratio)


def shared_cells(rows: Sequence[Row], before: Sequence[Row]) -> int:
    """How many cells the two runs have in common."""
    return len({row.key for row in rows} & {row.key for row in before})
