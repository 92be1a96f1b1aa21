"""The base of the tasks: batches that are pure functions of seed, split and step."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from common.checks import check_choice, check_integers

if TYPE_CHECKING:
    from common.tasks.batches import TaskBatches

Arrays = dict[str, np.ndarray]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Task:
    """A source of batches: one frozen dataclass, whose fields are the task's settings.

    A subclass implements `sample`. Every batch is made from nothing but the settings and
    `(seed, split, step)`, so a run that was killed at step n goes on with exactly the data that
    it would have had.
    """

    # Part of a data set's identity: raise it when `sample` or a default gives other numbers.
    VERSION: ClassVar[str] = "1.0.0"

    def batch(self, batch_size: int, seed: int, step: int, split: str = "train") -> Arrays:
        """Makes the batch of one step.

        Args:
            batch_size: Number of examples, B.
            seed: Seed of the stream, at least 0 and below 2**32.
            step: Step in the stream, likewise. Any step can be asked for, in any order.
            split: `"train"`, `"validation"` or `"test"`: three independent streams.

        Returns:
            Arrays whose first axis has length B: `"inputs"`, `"targets"` and, for some tasks,
            `"query"` and `"weights"` (float32, 1 where an output counts and 0 elsewhere).

        Raises:
            ValueError: if an argument is out of range.
        """
        self._check_batch(batch_size, seed, step, split)
        # `default_rng` mixes the three whole words; each is below 2**32, so none run together.
        rng = np.random.default_rng([seed, SPLITS.index(split), step])
        return self.sample(rng, batch_size, split)

    def dataset(
        self, batch_size: int, steps: int, seed: int = 0, split: str = "train", **kwargs: Any
    ) -> "TaskBatches":
        """Batches for `keras.Model.fit` and `evaluate`: `(inputs, targets)`, and maybe weights.

        Args:
            batch_size: Number of examples of a batch.
            steps: Batches of an epoch. Of `"train"` every epoch has the next ones of the stream,
                of the other splits the same.
            seed: Of the stream.
            split: `"train"`, `"validation"` or `"test"`.
            **kwargs: Arguments of `keras.utils.PyDataset`, such as `workers`, which sample ahead.

        Raises:
            ValueError: if an argument is out of range.
        """
        from common.tasks.batches import TaskBatches

        self._check_batch(batch_size, seed, 0, split)
        check_integers(self, 1, steps=steps)
        return TaskBatches(self, batch_size, steps, seed, split, **kwargs)

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        """Draws one batch with `rng`."""
        raise NotImplementedError

    def _check_batch(self, batch_size: int, seed: int, step: int, split: str) -> None:
        check_integers(self, 1, batch_size=batch_size)
        check_integers(self, 0, seed=seed, step=step)
        check_choice(self, SPLITS, split=split)


@dataclass(frozen=True)
class FiniteTask(Task):
    """A task with a fixed number of examples; a subclass implements `arrays`.

    `batch` goes through `"train"` in a new random order every epoch and through the other splits
    in the order of `arrays`, over and over. The last batch of an epoch holds what is left.
    """

    def arrays(self, split: str = "train") -> Arrays:
        """All examples of a split, in their fixed order."""
        raise NotImplementedError

    def steps_per_epoch(self, batch_size: int, split: str = "train") -> int:
        """Number of batches that go once through a split."""
        return math.ceil(len(self.arrays(split)["inputs"]) / batch_size)

    def batch(self, batch_size: int, seed: int, step: int, split: str = "train") -> Arrays:
        self._check_batch(batch_size, seed, step, split)
        arrays = self.arrays(split)
        epoch, position = divmod(step, self.steps_per_epoch(batch_size, split))
        order = np.arange(len(arrays["inputs"]))
        if split == "train":
            np.random.default_rng([seed, SPLITS.index(split), epoch]).shuffle(order)
        chosen = order[position * batch_size : (position + 1) * batch_size]
        return {name: values[chosen] for name, values in arrays.items()}
