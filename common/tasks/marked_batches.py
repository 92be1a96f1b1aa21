"""Batches of sequences of unequal lengths as Keras's own kind of data set."""

from common.tasks.batches import TaskBatches


class MarkedBatches(TaskBatches):
    """The first batches of a task's stream, whose inputs are `{"inputs": ..., "mask": ...}`.

    Element i is that of step i, so `lambda step: data[step]` is what `Run.train` takes.

    Args: those of `TaskBatches`.
    """

    def __getitem__(self, index: int) -> tuple:
        step = max(self.epoch, 0) * self.steps + index
        arrays = self.task.batch(self.batch_size, self.seed, step, self.split)
        inputs = {name: arrays[name] for name in ("inputs", "mask", "reset") if name in arrays}
        rest = (arrays[name] for name in ("targets", "weights") if name in arrays)
        return inputs, *rest
