"""Tasks: seeded samplers in NumPy with evaluation sets that TFDS freezes, and recorded data."""

from common.reproduce.lazy import lazy_exports
from common.tasks.associative_recall import AssociativeRecall
from common.tasks.copy import Copy
from common.tasks.delayed_white_noise import DelayedWhiteNoise
from common.tasks.formal_languages import ModularArithmetic, Parity
from common.tasks.group_word import GroupWord
from common.tasks.induction_heads import InductionHeads
from common.tasks.key_value_retrieval import KeyValueRetrieval
from common.tasks.mackey_glass import MackeyGlass
from common.tasks.mqar import MQAR
from common.tasks.repeat_copy import RepeatCopy
from common.tasks.safari import SafariAssociativeRecall, SafariInductionHead
from common.tasks.selective_copying import MADSelectiveCopying, MambaSelectiveCopying
from common.tasks.sequence_duplication import SequenceDuplication
from common.tasks.task import FiniteTask, Task

__all__ = [
    "AssociativeRecall",
    "Copy",
    "DelayedWhiteNoise",
    "FiniteTask",
    "GroupWord",
    "InductionHeads",
    "JSBChorales",
    "JapaneseVowels",
    "KeyValueRetrieval",
    "MADSelectiveCopying",
    "MQAR",
    "MackeyGlass",
    "MambaSelectiveCopying",
    "Mnist1d",
    "ModularArithmetic",
    "Nottingham",
    "Parity",
    "RepeatCopy",
    "SafariAssociativeRecall",
    "SafariInductionHead",
    "SequenceDuplication",
    "SequenceTask",
    "SequentialMNIST",
    "ShakespeareCharacters",
    "Task",
    "evaluation_set",
    "frozen_split",
]

# TFDS takes half a second to import, which only those who want frozen data should wait for.
# Recorded data are no part of the code behind runs that don't import them. A trial imports them by
# name: one that a setting names would not be in its code's hash.
__getattr__ = lazy_exports(
    __name__,
    evaluation_set="frozen",
    frozen_split="frozen",
    JSBChorales="polyphonic_music",
    JapaneseVowels="japanese_vowels",
    Mnist1d="mnist1d",
    Nottingham="polyphonic_music",
    SequenceTask="sequence_task",
    SequentialMNIST="sequential_mnist",
    ShakespeareCharacters="shakespeare_characters",
)
