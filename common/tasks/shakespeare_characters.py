"""Predicting the next character of tiny Shakespeare."""

import functools
from dataclasses import dataclass

import numpy as np

from common.checks import check_choice, check_integers, check_strings, given
from common.tasks.task import SPLITS, Arrays, FiniteTask

ALPHABET = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class ShakespeareCharacters(FiniteTask):
    """Windows of Shakespeare's plays: characters in, the next characters out.

    Karpathy's tiny Shakespeare: the first 90 % of 1,115,394 characters for training, then 5 % each
    for validation and testing. Training batches are windows that start anywhere, drawn
    independently; the other splits are cut into windows one after another, without what is left
    at the end. A batch holds:

    - `"inputs"`: int32 `(B, length)`, places in `ALPHABET`, which has 65 characters.
    - `"targets"`: int32 `(B, length)`, the same one character on.

    The file is downloaded, or taken from TFDS's manual directory.

    Args:
        length: Characters of a window.
        data_dir: Root directory of the data; `None` is that of TFDS, `~/tensorflow_datasets`.

    Raises:
        ValueError: if an argument is out of range.
    """

    length: int = 256
    data_dir: str | None = None

    def __post_init__(self) -> None:
        check_integers(self, 1, 50_000, length=self.length)
        check_strings(self, **given(data_dir=self.data_dir))

    def arrays(self, split: str = "train") -> Arrays:
        symbols = self._symbols(split)
        starts = np.arange(0, len(symbols) - self.length, self.length)
        return _windows(symbols, starts, self.length)

    def batch(self, batch_size: int, seed: int, step: int, split: str = "train") -> Arrays:
        if split != "train":
            return super().batch(batch_size, seed, step, split)
        self._check_batch(batch_size, seed, step, split)
        symbols = self._symbols(split)
        rng = np.random.default_rng([seed, SPLITS.index(split), step])
        starts = rng.integers(len(symbols) - self.length, size=batch_size)
        return _windows(symbols, starts, self.length)

    def _symbols(self, split: str) -> np.ndarray:
        check_choice(self, SPLITS, split=split)
        return _symbols(split, self.data_dir)


def _windows(symbols: np.ndarray, starts: np.ndarray, length: int) -> Arrays:
    steps = starts[:, None] + np.arange(length)
    return {"inputs": symbols[steps], "targets": symbols[steps + 1]}


@functools.lru_cache(maxsize=3)
def _symbols(split: str, data_dir: str | None) -> np.ndarray:
    from common.tasks.datasets import shakespeare_characters

    (example,) = shakespeare_characters.ShakespeareCharacters.read(split, data_dir)
    places = np.zeros(256, np.int32)
    places[np.frombuffer(ALPHABET.encode(), np.uint8)] = np.arange(len(ALPHABET))
    symbols = places[example["text"]]
    symbols.setflags(write=False)  # they are shared
    return symbols
