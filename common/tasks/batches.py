"""A task's batches as Keras's own kind of data set, for `keras.Model.fit`."""

from typing import Any

import keras

from common.tasks.task import Task
from common.typing import Nest


class TaskBatches(keras.utils.PyDataset):
    """The first batches of a task's stream: element i is that of step i.

    Args:
        task: The task.
        batch_size: Number of examples of a batch.
        steps: Number of batches, an epoch of `fit`.
        seed: Of the stream.
        split: `"train"`, `"validation"` or `"test"`.
        **kwargs: Arguments of `keras.utils.PyDataset`, such as `workers`, which sample ahead.
    """

    def __init__(
        self,
        task: Task,
        batch_size: int,
        steps: int,
        seed: int = 0,
        split: str = "train",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.task = task
        self.batch_size = batch_size
        self.steps = steps
        self.seed = seed
        self.split = split
        # `fit` ends an epoch before its first one.
        self.epoch = -1

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple:
        step = max(self.epoch, 0) * self.steps + index
        arrays = self.task.batch(self.batch_size, self.seed, step, self.split)
        inputs: Nest = arrays["inputs"]
        targets = arrays["targets"]
        if "query" in arrays:
            inputs = {"inputs": inputs, "query": arrays["query"]}
        return (inputs, targets, arrays["weights"]) if "weights" in arrays else (inputs, targets)

    def on_epoch_end(self) -> None:
        # Training meets no example twice; what is evaluated stays the same.
        if self.split == "train":
            self.epoch += 1
