"""TFDS builders: after importing this package, `tfds.load("mqar")` finds them.

`TaskDataset` is one of a task whose examples are drawn, `FileDataset` of recorded data, from a
download or from TFDS's manual directory.

TFDS names a builder after its class. A builder's module has to live in a package of its own.
"""

from common import tasks
from common.tasks.adding_problem import AddingProblem as _AddingProblem
from common.tasks.copy_memory import CopyMemory as _CopyMemory
from common.tasks.datasets.file_dataset import FileDataset
from common.tasks.datasets.japanese_vowels import JapaneseVowels
from common.tasks.datasets.polyphonic_music import JSBChorales, Nottingham
from common.tasks.datasets.sequential_mnist import SequentialMNIST
from common.tasks.datasets.shakespeare_characters import ShakespeareCharacters
from common.tasks.datasets.task_dataset import TaskConfig, TaskDataset
from common.tasks.flip_flop import FlipFlop as _FlipFlop
from common.tasks.mad import MADFuzzyRecall as _MADFuzzyRecall
from common.tasks.mad import MADMemorization as _MADMemorization
from common.tasks.mad import MADRecall as _MADRecall
from common.tasks.palindrome import Palindrome as _Palindrome
from common.tasks.permutation_word import PermutationWord as _PermutationWord
from common.tasks.regular_languages import RegularLanguage as _RegularLanguage
from common.tasks.stacks import Stacks as _Stacks

__all__ = [
    "FileDataset",
    "JSBChorales",
    "JapaneseVowels",
    "Nottingham",
    "SequentialMNIST",
    "ShakespeareCharacters",
    "TaskConfig",
    "TaskDataset",
]


class AddingProblem(TaskDataset):
    TASK = _AddingProblem
    CITATION = "Hochreiter and Schmidhuber 1997. Long Short-Term Memory."
    HOMEPAGE = "https://arxiv.org/abs/1803.01271"


class AssociativeRecall(TaskDataset):
    TASK = tasks.AssociativeRecall
    CITATION = "Graves et al. 2014. Neural Turing Machines."
    HOMEPAGE = "https://arxiv.org/abs/1410.5401"


class Copy(TaskDataset):
    TASK = tasks.Copy
    CITATION = "Graves et al. 2014. Neural Turing Machines."
    HOMEPAGE = "https://arxiv.org/abs/1410.5401"


class CopyMemory(TaskDataset):
    TASK = _CopyMemory
    CITATION = "Arjovsky et al. 2016. Unitary Evolution Recurrent Neural Networks."
    HOMEPAGE = "https://arxiv.org/abs/1511.06464"


class DelayedWhiteNoise(TaskDataset):
    TASK = tasks.DelayedWhiteNoise
    CITATION = (
        "Voelker et al. 2019. "
        "Legendre Memory Units: Continuous-Time Representation in Recurrent Neural Networks."
    )
    HOMEPAGE = "https://papers.nips.cc/paper/9689"


class FlipFlop(TaskDataset):
    TASK = _FlipFlop
    CITATION = "Liu et al. 2023. Exposing Attention Glitches with Flip-Flop Language Modeling."
    HOMEPAGE = "https://arxiv.org/abs/2306.00946"


class GroupWord(TaskDataset):
    TASK = tasks.GroupWord
    CITATION = "Merrill et al. 2024. The Illusion of State in State-Space Models."
    HOMEPAGE = "https://arxiv.org/abs/2404.08819"


class InductionHeads(TaskDataset):
    TASK = tasks.InductionHeads
    CITATION = "Gu and Dao 2023. Mamba: Linear-Time Sequence Modeling with Selective State Spaces."
    HOMEPAGE = "https://arxiv.org/abs/2312.00752"


class KeyValueRetrieval(TaskDataset):
    TASK = tasks.KeyValueRetrieval
    CITATION = "Schlag et al. 2021. Linear Transformers Are Secretly Fast Weight Programmers."
    HOMEPAGE = "https://arxiv.org/abs/2102.11174"


class MQAR(TaskDataset):
    TASK = tasks.MQAR
    CITATION = (
        "Arora et al. 2023. Zoology: Measuring and Improving Recall in Efficient Language Models."
    )
    HOMEPAGE = "https://arxiv.org/abs/2312.04927"


class MackeyGlass(TaskDataset):
    TASK = tasks.MackeyGlass
    CITATION = (
        "Voelker et al. 2019. "
        "Legendre Memory Units: Continuous-Time Representation in Recurrent Neural Networks."
    )
    HOMEPAGE = "https://papers.nips.cc/paper/9689"


class MADFuzzyRecall(TaskDataset):
    TASK = _MADFuzzyRecall
    CITATION = "Poli et al. 2024. Mechanistic Design and Scaling of Hybrid Architectures."
    HOMEPAGE = "https://arxiv.org/abs/2403.17844"


class MADMemorization(TaskDataset):
    TASK = _MADMemorization
    CITATION = "Poli et al. 2024. Mechanistic Design and Scaling of Hybrid Architectures."
    HOMEPAGE = "https://arxiv.org/abs/2403.17844"


class MADRecall(TaskDataset):
    TASK = _MADRecall
    CITATION = "Poli et al. 2024. Mechanistic Design and Scaling of Hybrid Architectures."
    HOMEPAGE = "https://arxiv.org/abs/2403.17844"


class MADSelectiveCopying(TaskDataset):
    TASK = tasks.MADSelectiveCopying
    CITATION = "Poli et al. 2024. Mechanistic Design and Scaling of Hybrid Architectures."
    HOMEPAGE = "https://arxiv.org/abs/2403.17844"


class MambaSelectiveCopying(TaskDataset):
    TASK = tasks.MambaSelectiveCopying
    CITATION = "Gu and Dao 2023. Mamba: Linear-Time Sequence Modeling with Selective State Spaces."
    HOMEPAGE = "https://arxiv.org/abs/2312.00752"


class Mnist1d(TaskDataset):
    TASK = tasks.Mnist1d
    CITATION = "Greydanus 2020. Scaling down Deep Learning."
    HOMEPAGE = "https://arxiv.org/abs/2011.14439"


class ModularArithmetic(TaskDataset):
    TASK = tasks.ModularArithmetic
    CITATION = "Deletang et al. 2023. Neural Networks and the Chomsky Hierarchy."
    HOMEPAGE = "https://arxiv.org/abs/2207.02098"


class Palindrome(TaskDataset):
    TASK = _Palindrome
    CITATION = "Kimi Team 2025. Kimi Linear: An Expressive, Efficient Attention Architecture."
    HOMEPAGE = "https://arxiv.org/abs/2510.26692"


class Parity(TaskDataset):
    TASK = tasks.Parity
    CITATION = "Deletang et al. 2023. Neural Networks and the Chomsky Hierarchy."
    HOMEPAGE = "https://arxiv.org/abs/2207.02098"


class PermutationWord(TaskDataset):
    TASK = _PermutationWord
    CITATION = (
        "Siems et al. 2025. "
        "DeltaProduct: Improving State-Tracking in Linear RNNs via Householder Products."
    )
    HOMEPAGE = "https://arxiv.org/abs/2502.10297"


class RegularLanguage(TaskDataset):
    TASK = _RegularLanguage
    CITATION = (
        "Walker et al. 2025. "
        "Structured Linear CDEs: Maximally Expressive and Parallel-in-Time Sequence Models."
    )
    HOMEPAGE = "https://arxiv.org/abs/2505.17761"


class RepeatCopy(TaskDataset):
    TASK = tasks.RepeatCopy
    CITATION = "Graves et al. 2014. Neural Turing Machines."
    HOMEPAGE = "https://arxiv.org/abs/1410.5401"


class SafariAssociativeRecall(TaskDataset):
    TASK = tasks.SafariAssociativeRecall
    CITATION = (
        "Fu et al. 2022. Hungry Hungry Hippos: Towards Language Modeling with State Space Models."
    )
    HOMEPAGE = "https://arxiv.org/abs/2212.14052"


class SafariInductionHead(TaskDataset):
    TASK = tasks.SafariInductionHead
    CITATION = (
        "Fu et al. 2022. Hungry Hungry Hippos: Towards Language Modeling with State Space Models."
    )
    HOMEPAGE = "https://arxiv.org/abs/2212.14052"


class SequenceDuplication(TaskDataset):
    TASK = tasks.SequenceDuplication
    CITATION = (
        "Katharopoulos et al. 2020. "
        "Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention."
    )
    HOMEPAGE = "https://arxiv.org/abs/2006.16236"


class Stacks(TaskDataset):
    TASK = _Stacks
    CITATION = "Kimi Team 2025. Kimi Linear: An Expressive, Efficient Attention Architecture."
    HOMEPAGE = "https://arxiv.org/abs/2510.26692"
