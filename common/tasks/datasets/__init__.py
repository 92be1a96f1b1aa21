"""TFDS builders of the tasks: after importing this package, `tfds.load("mqar")` finds them.

TFDS names a builder after its class. A builder's module has to live in a package of its own.
"""

from common import tasks
from common.tasks.datasets.task_dataset import TaskConfig, TaskDataset
from common.tasks.task import Task


class AssociativeRecall(TaskDataset):
    BUILDER_CONFIGS = [TaskConfig.default(tasks.AssociativeRecall())]


class Copy(TaskDataset):
    BUILDER_CONFIGS = [TaskConfig.default(tasks.Copy())]


class DelayedWhiteNoise(TaskDataset):
    BUILDER_CONFIGS = [TaskConfig.default(tasks.DelayedWhiteNoise())]


class GroupWord(TaskDataset):
    BUILDER_CONFIGS = [TaskConfig.default(tasks.GroupWord())]


class InductionHeads(TaskDataset):
    BUILDER_CONFIGS = [TaskConfig.default(tasks.InductionHeads())]


class KeyValueRetrieval(TaskDataset):
    BUILDER_CONFIGS = [TaskConfig.default(tasks.KeyValueRetrieval())]


class MQAR(TaskDataset):
    BUILDER_CONFIGS = [TaskConfig.default(tasks.MQAR())]


class MackeyGlass(TaskDataset):
    BUILDER_CONFIGS = [TaskConfig.default(tasks.MackeyGlass())]


class MADSelectiveCopying(TaskDataset):
    BUILDER_CONFIGS = [TaskConfig.default(tasks.MADSelectiveCopying())]


class MambaSelectiveCopying(TaskDataset):
    BUILDER_CONFIGS = [TaskConfig.default(tasks.MambaSelectiveCopying())]


class ModularArithmetic(TaskDataset):
    BUILDER_CONFIGS = [TaskConfig.default(tasks.ModularArithmetic())]


class Parity(TaskDataset):
    BUILDER_CONFIGS = [TaskConfig.default(tasks.Parity())]


class RepeatCopy(TaskDataset):
    BUILDER_CONFIGS = [TaskConfig.default(tasks.RepeatCopy())]


class SafariAssociativeRecall(TaskDataset):
    BUILDER_CONFIGS = [TaskConfig.default(tasks.SafariAssociativeRecall())]


class SafariInductionHead(TaskDataset):
    BUILDER_CONFIGS = [TaskConfig.default(tasks.SafariInductionHead())]


class SequenceDuplication(TaskDataset):
    BUILDER_CONFIGS = [TaskConfig.default(tasks.SequenceDuplication())]


def builder_class(task: Task) -> type[TaskDataset]:
    """The builder of `task`; the common one for a task that has none here."""
    return globals().get(type(task).__name__, TaskDataset)
