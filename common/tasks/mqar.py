"""Recalling the values of many keys in one sequence: multi-query associative recall (MQAR)."""

from dataclasses import dataclass

import numpy as np

from common.checks import check_flags, check_integers, check_numbers, refuse
from common.tasks.task import Arrays, Task


@dataclass(frozen=True)
class MQAR(Task):
    """Key-value pairs, then every key once more, at which its value is to be named.

    Arora et al. 2023 (Zoology), section 3, with the generator of the authors'
    `multiquery_ar.py`: the pairs fill the first `2 num_pairs` steps. Of the S slots after them,
    two steps each, `num_pairs` are drawn without replacement, slot i (from 1) with probability
    proportional to `i ** (power - 1)`, and the keys, in the order of the pairs, go to the first
    steps of the slots in the order in which they were drawn. So most queries come soon after the
    pairs, the more so the earlier its pair. Keys and values are drawn without replacement. A
    batch holds:

    - `"inputs"`: int32 `(B, length)`; 0 fills up, keys are 1 to `vocabulary_size // 2 - 1`, values
      `vocabulary_size // 2` to `vocabulary_size - 1`.
    - `"targets"`: int32 `(B, length)`, the values at their queries, 0 elsewhere.
    - `"weights"`: float32 `(B, length)`, 1 at the queries.

    Args:
        vocabulary_size: Number of tokens.
        length: Length of the sequences, an even number from `4 num_pairs`.
        num_pairs: Number of pairs, and of queries.
        power: Exponent of the power law; 1 spreads the queries evenly.
        random_non_queries: Whether the zeros of the inputs become tokens drawn from the whole
            vocabulary. They may equal keys. (The authors' default; their experiments for the
            paper set it to False.)

    Raises:
        ValueError: if an argument is out of range.
    """

    vocabulary_size: int = 8192
    length: int = 64
    num_pairs: int = 4
    power: float = 0.01
    random_non_queries: bool = False

    def __post_init__(self) -> None:
        check_integers(self, 1, num_pairs=self.num_pairs)
        check_integers(self, 2 * self.num_pairs + 2, vocabulary_size=self.vocabulary_size)
        check_integers(self, 4 * self.num_pairs, length=self.length)
        check_flags(self, random_non_queries=self.random_non_queries)
        check_numbers(self, above=0, power=self.power)
        if self.length % 2:
            refuse(self, "length", "even", self.length)

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        pairs, half = self.num_pairs, self.vocabulary_size // 2
        shape = (batch_size, pairs)
        keys = 1 + _distinct(rng, half - 1, shape)
        values = half + _distinct(rng, self.vocabulary_size - half, shape)
        law = np.arange(1, self.length // 2 - pairs + 1) ** (self.power - 1.0)
        queries = 2 * pairs + 2 * _weighted(rng, law, shape)

        inputs = np.zeros((batch_size, self.length), np.int32)
        inputs[:, 0 : 2 * pairs : 2] = keys
        inputs[:, 1 : 2 * pairs : 2] = values
        np.put_along_axis(inputs, queries, keys.astype(np.int32), axis=1)
        if self.random_non_queries:
            noise = rng.integers(self.vocabulary_size, size=inputs.shape, dtype=np.int32)
            inputs = np.where(inputs == 0, noise, inputs)
        targets = np.zeros_like(inputs)
        weights = np.zeros(inputs.shape, np.float32)
        np.put_along_axis(targets, queries, values.astype(np.int32), axis=1)
        np.put_along_axis(weights, queries, np.float32(1.0), axis=1)
        return {"inputs": inputs, "targets": targets, "weights": weights}


def _distinct(rng: np.random.Generator, items: int, shape: tuple[int, int]) -> np.ndarray:
    """Numbers below `items`, int64 of the given shape; those of a row are distinct.

    All such rows are equally likely: no number is treated differently from another.
    """
    drawn = rng.integers(items, size=shape)
    earlier = np.tri(shape[1], k=-1, dtype=bool)
    while (again := ((drawn[:, :, None] == drawn[:, None, :]) & earlier).any(axis=2)).any():
        drawn[again] = rng.integers(items, size=np.count_nonzero(again))
    return drawn


def _weighted(rng: np.random.Generator, rates: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Draws without replacement, with probabilities proportional to `rates` of what is left.

    The items of a row, int64 of the given shape, stand in the order in which they were drawn.
    """
    # Exponential arrival times: the order of arrival is that of drawing without replacement.
    times = rng.standard_exponential((shape[0], len(rates))) / rates
    return np.argsort(times, axis=1)[:, : shape[1]]
