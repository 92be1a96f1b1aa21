"""Recalling the token that followed a special one: the induction heads task of Mamba."""

from dataclasses import dataclass

import numpy as np

from common.checks import check_integers
from common.tasks.task import Arrays, Task


@dataclass(frozen=True)
class InductionHeads(Task):
    """A special token, the token to remember, much else; then the special token again.

    Gu and Dao 2023, section 4.1.2 and appendix E.1, whose generator was never published. What the
    paper leaves open is settled so: the special token is `vocabulary_size - 1`, one of the 16; all
    other tokens are uniform over the rest; the place of the first special token is uniform
    over the places that leave room for the token after it; and `length` counts everything, the
    special token at the end included. A batch holds:

    - `"inputs"`: int32 `(B, length)`.
    - `"targets"`: int32 `(B, length)`, the token to remember at the last step, 0 elsewhere.
    - `"weights"`: float32 `(B, length)`, 1 at the last step.

    Args:
        length: Length of the sequences, at least 3.
        vocabulary_size: Number of tokens, the special one included.

    Raises:
        ValueError: if an argument is out of range.
    """

    length: int = 256
    vocabulary_size: int = 16

    def __post_init__(self) -> None:
        check_integers(self, 3, length=self.length)
        check_integers(self, 2, vocabulary_size=self.vocabulary_size)

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        special = self.vocabulary_size - 1
        rows = np.arange(batch_size)
        inputs = rng.integers(special, size=(batch_size, self.length), dtype=np.int32)
        place = rng.integers(self.length - 2, size=batch_size)
        inputs[rows, place] = special
        inputs[:, -1] = special
        targets = np.zeros_like(inputs)
        targets[:, -1] = inputs[rows, place + 1]
        weights = np.zeros(inputs.shape, np.float32)
        weights[:, -1] = 1.0
        return {"inputs": inputs, "targets": targets, "weights": weights}
