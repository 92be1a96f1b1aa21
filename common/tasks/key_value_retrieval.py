"""Retrieving the value of a key: the synthetic tasks of Schlag et al. 2021."""

from dataclasses import dataclass

import numpy as np

from common.checks import check_flags, check_integers
from common.tasks.task import Arrays, Task


@dataclass(frozen=True)
class KeyValueRetrieval(Task):
    """A sequence of key-value pairs and a query key; the answer is its latest value.

    Schlag et al. 2021, section 6.1. Setting 1 (`replacement=False`, capacity): `num_keys` pairs,
    every key and every value once. Setting 2 (`replacement=True`, updates): `2 num_keys` pairs
    drawn with replacement, so that keys come again with other values.

    The splits `"train"` and `"validation"` ask one query a sequence, the key at a random
    position. The split `"test"` is the authors' evaluation, which asks for every key that
    occurs, in the order of the keys, up to `max_queries`; they take 20 sequences,
    `batch(20, ..., split="test")`. Their test sequences are `num_keys` pairs long in setting 2
    too, half the training length; `full_length_test` has them as long as in training. A batch
    holds, with L pairs and Q queries (1, or `min(num_keys, max_queries)` in `"test"`):

    - `"inputs"`: int32 `(B, L, 2)`, key and value, both from 0 to `num_keys - 1`.
    - `"query"`: int32 `(B, Q)`, keys.
    - `"targets"`: int32 `(B, Q)`, values.
    - `"weights"`: float32 `(B, Q)`, 0 for places left over in `"test"` when fewer keys occur.

    Args:
        num_keys: Number of different keys, and of different values, S.
        replacement: Whether keys and values are drawn with replacement.
        full_length_test: Whether test sequences are as long as training sequences.
        max_queries: Most queries of a test sequence.

    Raises:
        ValueError: if an argument is out of range.
    """

    num_keys: int = 20
    replacement: bool = False
    full_length_test: bool = False
    max_queries: int = 200

    def __post_init__(self) -> None:
        check_integers(self, 1, num_keys=self.num_keys, max_queries=self.max_queries)
        check_flags(self, replacement=self.replacement, full_length_test=self.full_length_test)

    def length(self, split: str = "train") -> int:
        """Number of pairs in a sequence of `split`."""
        short = not self.replacement or (split == "test" and not self.full_length_test)
        return self.num_keys if short else 2 * self.num_keys

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        shape = (2, batch_size, self.length(split))
        if self.replacement:
            keys, values = rng.integers(self.num_keys, size=shape, dtype=np.int32)
        else:
            identity = np.arange(self.num_keys, dtype=np.int32)
            keys, values = rng.permuted(np.broadcast_to(identity, shape), axis=-1)
        latest = self._latest(keys)
        if split == "test":
            query, weights = self._occurring(latest)
        else:
            position = rng.integers(shape[-1], size=(batch_size, 1))
            query = np.take_along_axis(keys, position, axis=1)
            weights = np.ones((batch_size, 1), np.float32)
        answer = np.take_along_axis(latest, query, axis=1)
        targets = np.where(weights > 0, np.take_along_axis(values, answer, axis=1), 0)
        return {
            "inputs": np.stack([keys, values], axis=-1),
            "query": query,
            "targets": targets.astype(np.int32),
            "weights": weights,
        }

    def _latest(self, keys: np.ndarray) -> np.ndarray:
        """The last position of every key, -1 if it does not occur, int64 `(B, num_keys)`."""
        latest = np.full((len(keys), self.num_keys), -1)
        np.maximum.at(latest, (np.arange(len(keys))[:, None], keys), np.arange(keys.shape[1]))
        return latest

    def _occurring(self, latest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keys that occur, in order and then zeros, and weights that tell them apart."""
        count = min(self.num_keys, self.max_queries)
        missing_last = np.argsort(latest < 0, axis=1, kind="stable")[:, :count]
        occurs = np.take_along_axis(latest, missing_last, axis=1) >= 0
        return np.where(occurs, missing_last, 0).astype(np.int32), occurs.astype(np.float32)
