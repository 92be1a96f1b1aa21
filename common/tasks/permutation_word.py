"""The word problem of a permutation group after a start symbol."""

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from common.checks import check_choice, check_integers
from common.tasks.task import Arrays, Task

GROUPS = ("S3", "S4", "A5", "S5")


@dataclass(frozen=True)
class PermutationWord(Task):
    """Random permutations after a start symbol; at every step, the product of all so far.

    Siems et al. 2025, section 5.1. What it adds to `GroupWord` is the start symbol of the authors'
    code, at which a model can write the state that the permutations then act on, and the smaller
    groups. Permutations are numbered in lexicographic order, 0 is the identity, the first one is
    applied first. A batch holds:

    - `"inputs"`: int32 `(B, length + 1)`, the start symbol, which is the order of the group, and
      the permutations.
    - `"targets"`: int32 `(B, length + 1)`, the products, at the start symbol itself.
    - `"weights"`: float32 `(B, length + 1)`, 0 at the start symbol and 1 elsewhere.

    Args:
        group: `"S3"`, `"S4"` or `"S5"`, all permutations of so many, or `"A5"`, the even ones of 5.
        length: Permutations in a sequence.

    Raises:
        ValueError: if an argument is out of range.
    """

    group: str = "S3"
    length: int = 128

    def __post_init__(self) -> None:
        check_choice(self, GROUPS, group=self.group)
        check_integers(self, 1, length=self.length)

    @property
    def vocabulary_size(self) -> int:
        """Order of the group, and the start symbol."""
        return len(_products(self.group)) + 1

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        table = _products(self.group)
        shape = (batch_size, self.length + 1)
        inputs = rng.integers(len(table), size=shape, dtype=np.int32)
        inputs[:, 0] = 0  # the product of none
        targets = inputs.copy()
        for step in range(1, self.length + 1):
            targets[:, step] = table[targets[:, step - 1], inputs[:, step]]
        weights = np.ones(shape, np.float32)
        inputs[:, 0] = targets[:, 0] = len(table)
        weights[:, 0] = 0
        return {"inputs": inputs, "targets": targets, "weights": weights}


@functools.lru_cache(maxsize=len(GROUPS))
def _products(group: str) -> np.ndarray:
    """The group's table, int32 `(n, n)`, read-only: at `[a, b]` the product, first a, then b."""
    elements = list(itertools.permutations(range(int(group[1]))))
    if group[0] == "A":
        elements = [one for one in elements if _is_even(one)]
    number = {one: i for i, one in enumerate(elements)}
    table = np.array(
        [[number[tuple(b[place] for place in a)] for b in elements] for a in elements], np.int32
    )
    table.setflags(write=False)
    return table


def _is_even(permutation: tuple[int, ...]) -> bool:
    """Whether the number of pairs in the wrong order is even."""
    return sum(a > b for a, b in itertools.combinations(permutation, 2)) % 2 == 0
