"""Induction head and associative recall on a finite training set: the tasks of H3 and Hyena."""

import functools
import math
from dataclasses import dataclass

import numpy as np

from common.checks import check_choice, check_integers, refuse
from common.tasks.task import SPLITS, Arrays, FiniteTask

# Sequences are drawn in blocks of one size, so that the first ones don't depend on how many are
# asked for, and until enough of them are different or so many times as many have been drawn.
BLOCK = 2048
PATIENCE = 20


@dataclass(frozen=True)
class _SafariTask(FiniteTask):
    """What the two tasks share: different sequences, predicted token by token.

    A subclass gives `length` and `vocabulary_size` their defaults and implements `_draw`.
    """

    length: int
    vocabulary_size: int
    examples: int = 5000
    test_examples: int = 500
    data_seed: int = 0

    def __post_init__(self) -> None:
        check_integers(self, 1, examples=self.examples, test_examples=self.test_examples)
        check_integers(self, 0, data_seed=self.data_seed)

    @property
    def special(self) -> int:
        """The token after which the model is to recall; the authors' copy prefix."""
        return self.vocabulary_size - 1

    def arrays(self, split: str = "train") -> Arrays:
        """All examples of a split, in their fixed order.

        Raises:
            ValueError: if `split` is unknown, or there are not enough different sequences.
        """
        check_choice(self, SPLITS, split=split)
        return _splits(self)[split]

    def _draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Sequences with their answers as last tokens, int32 `(count, T + 1)`."""
        raise NotImplementedError


@dataclass(frozen=True)
class SafariInductionHead(_SafariTask):
    """A special token and the token after it, somewhere; the special token again at the end.

    Fu et al. 2022 (H3), section 3.1; Poli et al. 2023 (Hyena); with the generator of the
    authors' `synthetics.py`: `length` uniform tokens, one of which, but neither of the last two,
    then becomes the special token; and the special token once more.

    All examples are different, those of different splits too. (In the authors' code, some test
    examples may be training examples, and the validation set is the test set.) In `"train"`
    every next token is scored, though most can only be guessed; in the other splits the last
    one is. A batch holds, with T = `length + 1`:

    - `"inputs"`: int32 `(B, T)`; 0 is unused (the authors' noop), the special token is
      `vocabulary_size - 1`, the others lie between.
    - `"targets"`: int32 `(B, T)`, the next tokens; the last is the token to recall.
    - `"weights"`: float32 `(B, T)`, 1 everywhere in `"train"`, else at the last step only.

    Args:
        length: Number of tokens before the last special one, at least 3.
        vocabulary_size: Number of tokens, the two special ones included.
        examples: Number of training examples.
        test_examples: Number of test examples, and of validation examples.
        data_seed: Seed of the examples. The seed of `batch` only orders them.

    Raises:
        ValueError: if an argument is out of range.
    """

    length: int = 30
    vocabulary_size: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integers(self, 3, length=self.length, vocabulary_size=self.vocabulary_size)

    def _draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        rows = np.arange(count)
        shape = (count, self.length + 2)
        sequences = rng.integers(1, self.special, size=shape, dtype=np.int32)
        place = rng.integers(self.length - 2, size=count)
        sequences[rows, place] = sequences[:, -2] = self.special
        sequences[:, -1] = sequences[rows, place + 1]
        return sequences


@dataclass(frozen=True)
class SafariAssociativeRecall(_SafariTask):
    """Keys, each followed by its value; a special token, and one of the keys, once more.

    Fu et al. 2022 (H3), section 3.1; Poli et al. 2023 (Hyena); with the generator of the
    authors' `synthetics.py`: the first half of the ordinary tokens are keys, the second half
    values. In every sequence, each key has a freshly drawn value, which it may share with others;
    `length / 2` keys are drawn with replacement; and the key asked for is uniform over those
    that occur.

    All examples are different, those of different splits too. (In the authors' code, some test
    examples may be training examples, and the validation set is the test set.) In `"train"`
    every next token is scored, though the keys can only be guessed; in the other splits the
    last one is. A batch holds, with T = `length + 2`:

    - `"inputs"`: int32 `(B, T)`; 0 is unused (the authors' noop), the special token is
      `vocabulary_size - 1`, keys and values lie between.
    - `"targets"`: int32 `(B, T)`, the next tokens; the last is the value of the key asked for.
    - `"weights"`: float32 `(B, T)`, 1 everywhere in `"train"`, else at the last step only.

    Args:
        length: Number of tokens before the special one, even.
        vocabulary_size: Number of tokens, the two special ones included, at least 4.
        examples: Number of training examples.
        test_examples: Number of test examples, and of validation examples.
        data_seed: Seed of the examples. The seed of `batch` only orders them.

    Raises:
        ValueError: if an argument is out of range.
    """

    length: int = 20
    vocabulary_size: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integers(self, 2, length=self.length)
        check_integers(self, 4, vocabulary_size=self.vocabulary_size)
        if self.length % 2:
            refuse(self, "length", "even", self.length)

    def _draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        num_keys = (self.vocabulary_size - 2) // 2
        values = rng.integers(1 + num_keys, self.special, size=(count, num_keys))
        keys = rng.integers(num_keys, size=(count, self.length // 2))
        occurs = np.zeros((count, num_keys), bool)
        np.put_along_axis(occurs, keys, True, axis=1)
        asked = np.where(occurs, rng.random(occurs.shape), -1.0).argmax(axis=1)[:, None]
        sequences = np.empty((count, self.length + 3), np.int32)
        sequences[:, 0 : self.length : 2] = 1 + keys
        sequences[:, 1 : self.length : 2] = np.take_along_axis(values, keys, axis=1)
        sequences[:, -3] = self.special
        sequences[:, -2:-1] = 1 + asked
        sequences[:, -1:] = np.take_along_axis(values, asked, axis=1)
        return sequences


@functools.lru_cache(maxsize=4)
def _splits(task: _SafariTask) -> dict[str, Arrays]:
    """The arrays of every split, read-only."""
    tests = task.test_examples
    sequences = _different(task, 2 * tests + task.examples)
    # Test examples come first: they are the same for every number of training examples.
    chosen = {
        "test": sequences[:tests],
        "validation": sequences[tests : 2 * tests],
        "train": sequences[2 * tests :],
    }
    splits = {}
    for split, rows in chosen.items():
        inputs, targets = rows[:, :-1], rows[:, 1:]
        weights = np.ones(inputs.shape, np.float32)
        if split != "train":
            weights[:, :-1] = 0.0
        splits[split] = {"inputs": inputs, "targets": targets, "weights": weights}
        for values in splits[split].values():
            values.setflags(write=False)  # they are shared
    return splits


def _different(task: _SafariTask, count: int) -> np.ndarray:
    """The first `count` different sequences that `task` draws."""
    rng = np.random.default_rng(task.data_seed)
    found = np.empty((0, 0), np.int32)
    for _ in range(PATIENCE * math.ceil(count / BLOCK)):
        drawn = task._draw(rng, BLOCK)
        found = np.concatenate([found, drawn]) if len(found) else drawn
        _, first = np.unique(found, axis=0, return_index=True)
        found = found[np.sort(first)]
        if len(found) >= count:
            return found[:count]
    raise ValueError(
        f"{type(task).__name__}: `examples` plus twice `test_examples` must be at most the number "
        f"of different sequences; got {count}, found {len(found)}."
    )
