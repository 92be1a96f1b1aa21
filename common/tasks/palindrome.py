"""Saying a sequence backwards."""

from dataclasses import dataclass

import numpy as np

from common.checks import check_integers
from common.tasks.task import Arrays, Task


@dataclass(frozen=True)
class Palindrome(Task):
    """Random symbols, a separator, and the symbols in reverse order, each predicted from the last.

    Kimi Team 2025 (Kimi Linear), section 5.1, "Palindrome", as the table there lays it out: what
    the first of the reversed symbols is, is not asked at the separator. Symbols are drawn with
    replacement and numbered from 0; the separator comes after them. A batch holds:

    - `"inputs"`: int32 `(B, 2 length + 1)`.
    - `"targets"`: int32 `(B, 2 length + 1)`, from the first reversed symbol on the symbol after
      it, 0 elsewhere.
    - `"weights"`: float32 `(B, 2 length + 1)`, 1 at the `length - 1` steps with a target.

    Args:
        length: Symbols to reverse, at least 2.
        num_symbols: How many there are.

    Raises:
        ValueError: if an argument is out of range.
    """

    length: int = 127
    num_symbols: int = 125

    def __post_init__(self) -> None:
        check_integers(self, 2, length=self.length)
        check_integers(self, 1, num_symbols=self.num_symbols)

    @property
    def vocabulary_size(self) -> int:
        """The symbols and the separator."""
        return self.num_symbols + 1

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        symbols = rng.integers(self.num_symbols, size=(batch_size, self.length), dtype=np.int32)
        separator = np.full((batch_size, 1), self.num_symbols, np.int32)
        inputs = np.concatenate([symbols, separator, symbols[:, ::-1]], axis=1)
        targets = np.zeros_like(inputs)
        weights = np.zeros(inputs.shape, np.float32)
        asked = slice(self.length + 1, -1)
        targets[:, asked] = inputs[:, self.length + 2 :]
        weights[:, asked] = 1
        return {"inputs": inputs, "targets": targets, "weights": weights}
