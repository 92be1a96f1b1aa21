"""The adding problem: two marked numbers in a long sequence of them."""

from dataclasses import dataclass

import numpy as np

from common.checks import check_integers
from common.tasks.task import Arrays, Task


@dataclass(frozen=True)
class AddingProblem(Task):
    """Numbers between 0 and 1, two of which are marked; their sum is asked for at the end.

    Hochreiter and Schmidhuber 1997; as Bai et al. 2018 have it, with both marks anywhere. The mean
    squared error of always saying 1 is 1 / 6. A batch holds:

    - `"inputs"`: float32 `(B, length, 2)`, the number and the mark, 1 at two steps and else 0.
    - `"targets"`: float32 `(B, 1)`.

    Args:
        length: Numbers of a sequence.

    Raises:
        ValueError: if `length` is below 2.
    """

    length: int = 600

    def __post_init__(self) -> None:
        check_integers(self, 2, length=self.length)

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        numbers = rng.random((batch_size, self.length), dtype=np.float32)
        first = rng.integers(self.length, size=batch_size)
        # Any other step, equally likely.
        second = (first + rng.integers(1, self.length, size=batch_size)) % self.length
        places = np.stack([first, second], axis=1)
        marks = np.zeros_like(numbers)
        np.put_along_axis(marks, places, 1.0, axis=1)
        total = np.take_along_axis(numbers, places, axis=1).sum(axis=1, keepdims=True)
        return {"inputs": np.stack([numbers, marks], axis=-1), "targets": total}
