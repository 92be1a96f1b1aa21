"""Copying digits after a long delay: the copy memory task."""

from dataclasses import dataclass

import numpy as np

from common.checks import check_integers
from common.tasks.task import Arrays, Task

BLANK, MARKER = 0, 9


@dataclass(frozen=True)
class CopyMemory(Task):
    """Digits, blanks, then markers at which to emit the digits.

    Arjovsky et al. 2016; as Bai et al. 2018 have it, `utils.py` of their `copy_memory`: `length`
    digits from 1 to 8, `delay - 1` blanks 0 and `length + 1` markers 9, at the last `length` of
    which the digits are the target; before, it is 0. A batch holds, with T = `delay + 2 length`:

    - `"inputs"`: int32 `(B, T)`.
    - `"targets"`: int32 `(B, T)`.
    - `"weights"`: float32 `(B, T)`, 1 where digits are to be emitted.

    Args:
        delay: Steps between the last digit and the first that is emitted.
        length: Number of digits.

    Raises:
        ValueError: if a setting is not a positive integer.
    """

    delay: int = 1000
    length: int = 10

    def __post_init__(self) -> None:
        check_integers(self, 1, delay=self.delay, length=self.length)

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        shape = (batch_size, self.delay + 2 * self.length)
        digits = rng.integers(1, 9, size=(batch_size, self.length), dtype=np.int32)
        inputs, targets = np.full(shape, BLANK, np.int32), np.full(shape, BLANK, np.int32)
        weights = np.zeros(shape, np.float32)
        inputs[:, : self.length] = digits
        inputs[:, -self.length - 1 :] = MARKER
        targets[:, -self.length :] = digits
        weights[:, -self.length :] = 1
        return {"inputs": inputs, "targets": targets, "weights": weights}
