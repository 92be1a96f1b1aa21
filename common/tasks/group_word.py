"""The running product of group elements: the word problems of state tracking."""

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from common.checks import check_choice, check_flags, check_integers
from common.tasks.task import Arrays, Task

GROUPS = ("S5", "A5", "Z60", "A4xZ5")


@dataclass(frozen=True)
class GroupWord(Task):
    """Random elements of a group; at every step, the product of all elements so far.

    Merrill et al. 2024, section 5, who compare the groups A5 (not solvable), A4 x Z5 and Z60, of
    60 elements each; Grazzi et al. 2024, section 5.2 and appendix E.2, who take S5, 120 elements,
    and multiply in the order in which permutations are applied, the first one first. Both train
    on finite sets of random sequences, of 1.6 million in Grazzi et al.; here every batch is
    fresh. Elements are numbered, 0 is the identity: permutations in lexicographic order, a pair
    (p, z) of A4 x Z5 as `5 p + z`. A batch holds:

    - `"inputs"`: int32 `(B, length)`.
    - `"targets"`: int32 `(B, length)`.
    - `"weights"`: float32 `(B, length)`, ones.

    Args:
        group: `"S5"`, `"A5"`, `"Z60"` or `"A4xZ5"`.
        length: Length of the sequences.
        swaps_only: Whether only the identity and the permutations that swap two of the five are
            drawn (of S5, which they generate), Grazzi et al.'s simplest setting.

    Raises:
        ValueError: if an argument is out of range, or `swaps_only` is set with a group that
            has no swaps.
    """

    group: str = "S5"
    length: int = 32
    swaps_only: bool = False

    def __post_init__(self) -> None:
        check_choice(self, GROUPS, group=self.group)
        check_integers(self, 1, length=self.length)
        check_flags(self, swaps_only=self.swaps_only)
        if self.swaps_only and self.group != "S5":
            raise ValueError(
                "GroupWord: `swaps_only` must be False unless `group` is 'S5'; got True with "
                f"{self.group!r}."
            )

    @property
    def vocabulary_size(self) -> int:
        """Number of elements of the group."""
        return len(_products(self.group))

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        table = _products(self.group)
        shape = (batch_size, self.length)
        if self.swaps_only:
            inputs = rng.choice(_swaps(), size=shape).astype(np.int32)
        else:
            inputs = rng.integers(len(table), size=shape, dtype=np.int32)
        targets = np.empty_like(inputs)
        product = np.zeros(batch_size, np.int32)
        for step in range(self.length):
            product = table[product, inputs[:, step]]
            targets[:, step] = product
        return {"inputs": inputs, "targets": targets, "weights": np.ones(shape, np.float32)}


@functools.lru_cache(maxsize=len(GROUPS))
def _products(group: str) -> np.ndarray:
    """The group's table, int32 `(n, n)`, read-only: at `[a, b]` the product, first a, then b."""
    if group == "A4xZ5":
        left, right = _permuting(_even(4)), _adding(5)
        # Of pairs, componentwise: [(a, y), (b, z)] is (ab, y + z).
        table = (5 * left[:, None, :, None] + right[None, :, None, :]).reshape(60, 60)
    elif group == "Z60":
        table = _adding(60)
    else:
        table = _permuting(_permutations(5) if group == "S5" else _even(5))
    table = table.astype(np.int32)
    table.setflags(write=False)
    return table


def _permutations(size: int) -> np.ndarray:
    """All permutations of 0 to `size - 1` in lexicographic order, one a row."""
    return np.array(list(itertools.permutations(range(size))))


def _even(size: int) -> np.ndarray:
    """The even ones of `_permutations`: those with an even number of inversions."""
    rows = _permutations(size)
    inverted = np.triu(rows[:, :, None] > rows[:, None, :])
    return rows[inverted.sum(axis=(1, 2)) % 2 == 0]


def _swaps() -> np.ndarray:
    """The elements of S5 that move at most two of the five."""
    return np.flatnonzero((_permutations(5) != np.arange(5)).sum(axis=1) <= 2)


def _permuting(rows: np.ndarray) -> np.ndarray:
    """The table of a group of permutations, one a row and in lexicographic order."""
    composed = rows[:, rows].transpose(1, 0, 2)
    # As numbers written with these digits, rows in lexicographic order are sorted.
    digits = rows.shape[1] ** np.arange(rows.shape[1])[::-1]
    return np.searchsorted(rows @ digits, composed @ digits)


def _adding(size: int) -> np.ndarray:
    """The table of the integers modulo `size`."""
    return np.add.outer(np.arange(size), np.arange(size)) % size
