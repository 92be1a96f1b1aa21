"""Repeating a sequence of symbols: the copy task of the linear transformer paper."""

from dataclasses import dataclass

import numpy as np

from common.checks import check_flags, check_integers
from common.tasks.task import Arrays, Task


@dataclass(frozen=True)
class SequenceDuplication(Task):
    """n random symbols, a separator and the same n symbols again, to be predicted step by step.

    Katharopoulos et al. 2020, section 4.1.1, with the settings of the authors' `causal-copy`:
    n is uniform from `length // 4` to `(length - 1) // 2 - 1`, zeros fill up the rest, and the
    target is the next token. They also score the step before the separator; no earlier step is
    scored, so the separator can be guessed there and a perfect loss is 0. A batch holds:

    - `"inputs"`: int32 `(B, length)`; 0 separates and pads, symbols are 1 to `symbols`.
    - `"targets"`: int32 `(B, length)`, the inputs one step earlier.
    - `"weights"`: float32 `(B, length)`, 1 where a target belongs to the second copy.

    Args:
        length: Length of the sequences, at least 6.
        symbols: Number of different symbols.
        score_separator: Whether the target that is the separator counts too, as in the authors'
            code.

    Raises:
        ValueError: if an argument is out of range.
    """

    length: int = 128
    symbols: int = 10
    score_separator: bool = True

    def __post_init__(self) -> None:
        check_integers(self, 6, length=self.length)
        check_integers(self, 1, symbols=self.symbols)
        check_flags(self, score_separator=self.score_separator)

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        shortest, too_long = self.length // 4, (self.length - 1) // 2
        count = rng.integers(shortest, too_long, size=(batch_size, 1))
        symbols = rng.integers(
            1, self.symbols, size=(batch_size, too_long), dtype=np.int32, endpoint=True
        )
        position = np.arange(self.length)[None, :]
        in_copy = (position > count) & (position <= 2 * count)
        source = np.where(in_copy, position - count - 1, position)
        shown = (position < count) | in_copy
        inputs = np.where(shown, np.take_along_axis(symbols, source * shown, axis=1), 0)
        targets = np.zeros_like(inputs)
        targets[:, :-1] = inputs[:, 1:]
        first = count - 1 if self.score_separator else count
        scored = (position >= first) & (position < 2 * count)
        return {"inputs": inputs, "targets": targets, "weights": scored.astype(np.float32)}
