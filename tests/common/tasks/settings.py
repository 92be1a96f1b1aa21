"""One small instance of every generated task."""

from common.tasks import (
    MQAR,
    AssociativeRecall,
    Copy,
    DelayedWhiteNoise,
    InductionHeads,
    KeyValueRetrieval,
    MackeyGlass,
    MADSelectiveCopying,
    MambaSelectiveCopying,
    ModularArithmetic,
    Parity,
    RepeatCopy,
    SequenceDuplication,
)

TASKS = (
    AssociativeRecall(),
    Copy(),
    DelayedWhiteNoise(window=40),
    InductionHeads(length=12),
    KeyValueRetrieval(num_keys=7),
    KeyValueRetrieval(num_keys=7, replacement=True),
    MADSelectiveCopying(length=20, num_tokens=4),
    MackeyGlass(series=12, length=30),
    MambaSelectiveCopying(length=20, num_tokens=4),
    ModularArithmetic(max_length=9),
    ModularArithmetic(max_length=20, brackets=True),
    MQAR(vocab_size=20, length=16, num_pairs=3),
    Parity(max_length=8),
    RepeatCopy(max_length=4, max_repeats=3),
    SequenceDuplication(length=20),
)
