"""One small instance of every generated task."""

from common.tasks import (
    AssociativeRecall,
    Copy,
    DelayedWhiteNoise,
    KeyValueRetrieval,
    MackeyGlass,
    MADSelectiveCopying,
    MambaSelectiveCopying,
    RepeatCopy,
    SequenceDuplication,
)

TASKS = (
    AssociativeRecall(),
    Copy(),
    DelayedWhiteNoise(window=40),
    KeyValueRetrieval(num_keys=7),
    KeyValueRetrieval(num_keys=7, replacement=True),
    MADSelectiveCopying(length=20, num_tokens=4),
    MackeyGlass(series=12, length=30),
    MambaSelectiveCopying(length=20, num_tokens=4),
    RepeatCopy(max_length=4, max_repeats=3),
    SequenceDuplication(length=20),
)
