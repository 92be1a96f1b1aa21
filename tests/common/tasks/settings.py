"""One small instance of every generated task."""

from common.tasks import (
    MQAR,
    AssociativeRecall,
    Copy,
    DelayedWhiteNoise,
    GroupWord,
    InductionHeads,
    KeyValueRetrieval,
    MackeyGlass,
    MADSelectiveCopying,
    MambaSelectiveCopying,
    Mnist1d,
    ModularArithmetic,
    Parity,
    RepeatCopy,
    SafariAssociativeRecall,
    SafariInductionHead,
    SequenceDuplication,
)
from common.tasks.adding_problem import AddingProblem
from common.tasks.copy_memory import CopyMemory
from common.tasks.flip_flop import FlipFlop
from common.tasks.mad import MADFuzzyRecall, MADMemorization, MADRecall
from common.tasks.palindrome import Palindrome
from common.tasks.permutation_word import PermutationWord
from common.tasks.regular_languages import RegularLanguage
from common.tasks.stacks import Stacks

TASKS = (
    AddingProblem(length=8),
    AssociativeRecall(),
    Copy(),
    CopyMemory(delay=5, length=3),
    DelayedWhiteNoise(window=40),
    FlipFlop(length=12),
    GroupWord(length=6),
    GroupWord(group="A4xZ5", length=6),
    InductionHeads(length=12),
    KeyValueRetrieval(num_keys=7),
    KeyValueRetrieval(num_keys=7, replacement=True),
    MADFuzzyRecall(length=24),
    MADMemorization(vocabulary_size=12, length=6),
    MADRecall(length=8),
    MADRecall(vocabulary_size=12, length=8, noise_tokens=4, noise=0.3),
    MADSelectiveCopying(length=20, num_tokens=4),
    MackeyGlass(series=12, length=30),
    MambaSelectiveCopying(length=20, num_tokens=4),
    Mnist1d(),
    ModularArithmetic(max_length=9),
    ModularArithmetic(max_length=20, brackets=True),
    MQAR(vocabulary_size=20, length=16, num_pairs=3),
    Palindrome(length=6),
    Parity(max_length=8),
    PermutationWord(length=6),
    RegularLanguage(max_length=9),
    RegularLanguage("mod_arith_no_brack", max_length=9),
    RepeatCopy(max_length=4, max_repeats=3),
    SafariAssociativeRecall(length=8, examples=20, test_examples=10),
    SafariInductionHead(length=8, examples=20, test_examples=10),
    SequenceDuplication(length=20),
    Stacks(operations=6),
)
