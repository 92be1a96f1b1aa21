"""Telling speakers by two vowels: JapaneseVowels, sequences of unequal lengths."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.checks import check_choice, check_integers
from common.tasks.sequence_task import SequenceTask
from common.tasks.task import SPLITS, Arrays

UTTERANCES = 30


@dataclass(frozen=True)
class JapaneseVowels(SequenceTask):
    """Twelve coefficients of speech at each step; then which of nine speakers it was.

    Kudo et al. 1999. 270 utterances for training, 30 a speaker, of which some are held out for
    validation, and 370 for testing. A batch holds, with T at most 29:

    - `"inputs"`: float32 `(B, T, 12)`.
    - `"targets"`: int32 `(B,)`, from 0 to 8; if packed `(B, T)`, at the utterances' last steps.
    - `"mask"`, `"reset"`, `"weights"`: as `SequenceTask` has them.

    The file is downloaded, or taken from TFDS's manual directory.

    Args:
        packed: Steps of a row into which utterances are packed; 0 is a row an utterance.
        data_dir: Root directory of the data; `None` is that of TFDS, `~/tensorflow_datasets`.
        held_out: Utterances of each speaker, the last ones, that are for validation; with 0 there
            is no validation set, as in the paper.

    Raises:
        ValueError: if an argument is out of range, or the validation set is empty.
    """

    held_out: int = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integers(self, 0, UTTERANCES - 1, held_out=self.held_out)

    def sequences(self, split: str) -> Sequence[Arrays]:
        check_choice(self, SPLITS if self.held_out else ("train", "test"), split=split)
        if split == "test":
            return _utterances("test", self.data_dir)
        kept = UTTERANCES - self.held_out
        return [
            one
            for number, one in enumerate(_utterances("train", self.data_dir))
            if (number % UTTERANCES >= kept) == (split == "validation")
        ]


@functools.lru_cache(maxsize=2)
def _utterances(split: str, data_dir: str | None) -> list[Arrays]:
    from common.tasks.datasets import japanese_vowels

    return [
        {"inputs": one["coefficients"], "targets": one["speaker"].astype(np.int32)}
        for one in japanese_vowels.JapaneseVowels.read(split, data_dir)
    ]
