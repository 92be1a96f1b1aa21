"""Copying the tokens that matter out of a long sequence: the forms of Mamba and of MAD."""

from dataclasses import dataclass

import numpy as np

from common.checks import check_integers
from common.tasks.task import Arrays, Task


@dataclass(frozen=True)
class MambaSelectiveCopying(Task):
    """Data tokens at random places among noise, then as many markers at which to emit them.

    Gu and Dao 2023, section 4.1.1 and appendix E.1, whose generator was never published. What the
    paper leaves open follows `copying.yaml` of the S4 code, on which it builds: noise is 0, the
    marker `vocabulary_size - 1`, data lie between, and the markers come on top of `length`. A batch
    holds, with T = `length + num_tokens`:

    - `"inputs"`: int32 `(B, T)`.
    - `"targets"`: int32 `(B, T)`, the data in order at the markers, 0 elsewhere.
    - `"weights"`: float32 `(B, T)`, 1 at the markers.

    Args:
        length: Length of the part that holds noise and data.
        vocabulary_size: Number of tokens, noise and marker included.
        num_tokens: Number of data tokens.

    Raises:
        ValueError: if an argument is out of range.
    """

    length: int = 4096
    vocabulary_size: int = 16
    num_tokens: int = 16

    def __post_init__(self) -> None:
        check_integers(self, 3, vocabulary_size=self.vocabulary_size)
        check_integers(self, 1, num_tokens=self.num_tokens)
        check_integers(self, self.num_tokens, length=self.length)

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        shape = (batch_size, self.num_tokens)
        data = rng.integers(1, self.vocabulary_size - 1, size=shape, dtype=np.int32)
        # The places of the largest of i.i.d. numbers are a uniform subset.
        scores = rng.random((batch_size, self.length), dtype=np.float32)
        subset = np.argpartition(scores, -self.num_tokens, axis=1)[:, -self.num_tokens :]
        places = np.sort(subset, axis=1)
        inputs = np.zeros((batch_size, self.length + self.num_tokens), np.int32)
        np.put_along_axis(inputs, places, data, axis=1)
        inputs[:, self.length :] = self.vocabulary_size - 1
        return _answer_at_end(inputs, data)


@dataclass(frozen=True)
class MADSelectiveCopying(Task):
    """Data tokens with blanks put in between, a copy token, then blanks at which to emit them.

    Poli et al. 2024, MAD, with the settings of `mad/data/instances.py`: the data are 0 to
    `vocabulary_size - 3`, the blank `vocabulary_size - 2`, the copy token `vocabulary_size - 1`.
    Each blank goes
    in front of a data token drawn at random, so none follows the last one and the copy token
    comes right after it. That is the authors' code, kept; but they draw these places from
    NumPy's global generator, unseeded, where here all is seeded. A batch holds:

    - `"inputs"`: int32 `(B, length)`.
    - `"targets"`: int32 `(B, length)`, the data in order at the last `num_tokens` steps, 0
      elsewhere.
    - `"weights"`: float32 `(B, length)`, 1 at those steps.

    Args:
        length: Length of the whole sequence, above `2 num_tokens + 1`.
        vocabulary_size: Number of tokens, blank and copy token included.
        num_tokens: Number of data tokens.

    Raises:
        ValueError: if an argument is out of range.
    """

    length: int = 256
    vocabulary_size: int = 16
    num_tokens: int = 16

    def __post_init__(self) -> None:
        check_integers(self, 3, vocabulary_size=self.vocabulary_size)
        check_integers(self, 1, num_tokens=self.num_tokens)
        check_integers(self, 2 * self.num_tokens + 2, length=self.length)

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        n = self.num_tokens
        data = rng.integers(self.vocabulary_size - 2, size=(batch_size, n), dtype=np.int32)
        # How many of the blanks went in front of each data token.
        blanks = rng.multinomial(self.length - 2 * n - 1, np.full(n, 1 / n), size=batch_size)
        places = np.arange(n) + np.cumsum(blanks, axis=1)
        inputs = np.full((batch_size, self.length), self.vocabulary_size - 2, np.int32)
        np.put_along_axis(inputs, places, data, axis=1)
        inputs[:, -n - 1] = self.vocabulary_size - 1
        return _answer_at_end(inputs, data)


def _answer_at_end(inputs: np.ndarray, answer: np.ndarray) -> Arrays:
    """Arrays of a batch whose last steps are the ones that count."""
    targets = np.zeros_like(inputs)
    weights = np.zeros(inputs.shape, np.float32)
    targets[:, -answer.shape[1] :] = answer
    weights[:, -answer.shape[1] :] = 1.0
    return {"inputs": inputs, "targets": targets, "weights": weights}
