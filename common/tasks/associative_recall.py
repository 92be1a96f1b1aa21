"""Naming the item that followed another: the third task of the Neural Turing Machine."""

from dataclasses import dataclass

import numpy as np

from common.checks import check_integers
from common.tasks.episodes import check_padding, draw_bits, draw_lengths, episode, place
from common.tasks.task import Arrays, Task

# An item is three vectors (Graves et al. 2014, section 4.3).
ITEM = 3


@dataclass(frozen=True)
class AssociativeRecall(Task):
    """N items, a delimiter, one of them, a delimiter; then the item that came after it.

    Graves et al. 2014, section 4.3, in the form of Collier and Beel's code: items of three
    random bit vectors follow one another directly (Graves et al. put a delimiter before each),
    and a delimiter is one in every channel. The item asked for is any but the last. A batch
    holds, with T time steps (`3 max_items + 8` if padded, else `3 N + 8`):

    - `"inputs"`: float32 `(B, T, bits + 1)`.
    - `"targets"`: float32 `(B, T, bits)`, the answer at the three blank steps.
    - `"weights"`: float32 `(B, T)`, 1 at those steps.

    Args:
        bits: Width of the vectors.
        min_items: Fewest items, at least 2.
        max_items: Most items; N is uniform between the two.
        pad: Whether every batch has the same T, so that graphs are compiled once.
        shared_length: Whether all examples of a batch have the same N, as in Collier's code.

    Raises:
        ValueError: if an argument is out of range, or neither `pad` nor `shared_length` is set.
    """

    bits: int = 6
    min_items: int = 2
    max_items: int = 6
    pad: bool = True
    shared_length: bool = True

    def __post_init__(self) -> None:
        check_integers(self, 1, bits=self.bits)
        check_integers(self, 2, min_items=self.min_items)
        check_integers(self, self.min_items, max_items=self.max_items)
        check_padding(self, self.pad, self.shared_length)

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        items = draw_lengths(rng, self.min_items, self.max_items, batch_size, self.shared_length)
        most = self.max_items if self.pad else int(items.max())
        vectors = draw_bits(rng, batch_size, ITEM * most, self.bits)
        asked = ITEM * rng.integers(items - 1)  # first vector of the item asked for
        length = ITEM * items
        time = np.arange(ITEM * most + 2 * ITEM + 2)[None, :]
        since = time - length - 1  # steps since the first delimiter, from 0
        queried = (since >= 0) & (since < ITEM)
        scored = (since > ITEM) & (since <= 2 * ITEM)
        shown = place(vectors, np.where(queried, asked + since, time), (time < length) | queried)
        inputs = np.pad(shown, ((0, 0), (0, 0), (0, 1)))
        inputs[(since == -1) | (since == ITEM)] = 1.0
        # The answer's first step is `since == ITEM + 1`, its first vector `asked + ITEM`.
        return episode(inputs, place(vectors, asked + since - 1, scored), scored)
