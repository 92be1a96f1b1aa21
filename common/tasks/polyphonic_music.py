"""Predicting the next notes of polyphonic music: JSB Chorales and Nottingham."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.checks import check_choice
from common.tasks.sequence_task import SequenceTask
from common.tasks.task import SPLITS, Arrays


@dataclass(frozen=True)
class PianoRolls(SequenceTask):
    """The keys of a piano at each step in, those of the step after it out.

    Bai et al. 2018: the loss is summed over the keys and averaged over the steps.
    """

    def sequences(self, split: str) -> Sequence[Arrays]:
        check_choice(self, SPLITS, split=split)
        return _sequences(type(self).__name__, split, self.data_dir)


@dataclass(frozen=True)
class JSBChorales(PianoRolls):
    """Chorales by Bach: the keys of a piano at each step in, those of the step after it out.

    Bai et al. 2018: the loss is summed over the keys and averaged over the steps. 229
    chorales for training, 76 for validation, 77 for testing. A batch holds, with T at most 159:

    - `"inputs"`: float32 `(B, T, 88)`, 1 where a key is down.
    - `"targets"`: float32 `(B, T, 88)`.
    - `"mask"`, `"reset"`, `"weights"`: as `SequenceTask` has them.

    The file is downloaded, or taken from TFDS's manual directory.

    Args:
        packed: Steps of a row into which chorales are packed; 0 is a row a chorale.
        data_dir: Root directory of the data; `None` is that of TFDS, `~/tensorflow_datasets`.

    Raises:
        ValueError: if an argument is out of range.
    """


@dataclass(frozen=True)
class Nottingham(PianoRolls):
    """Folk tunes: the keys of a piano at each step in, those of the step after it out.

    Bai et al. 2018: the loss is summed over the keys and averaged over the steps. 694
    tunes for training, 173 for validation, 170 for testing. A batch holds, with T at most 1,792:

    - `"inputs"`: float32 `(B, T, 88)`, 1 where a key is down.
    - `"targets"`: float32 `(B, T, 88)`.
    - `"mask"`, `"reset"`, `"weights"`: as `SequenceTask` has them.

    The file is downloaded, or taken from TFDS's manual directory.

    Args:
        packed: Steps of a row into which tunes are packed; 0 is a row a tune.
        data_dir: Root directory of the data; `None` is that of TFDS, `~/tensorflow_datasets`.

    Raises:
        ValueError: if an argument is out of range.
    """


@functools.lru_cache(maxsize=3)
def _sequences(name: str, split: str, data_dir: str | None) -> list[Arrays]:
    from common.tasks.datasets import polyphonic_music

    rolls = getattr(polyphonic_music, name).read(split, data_dir)
    notes = [roll["notes"].astype(np.float32) for roll in rolls]
    return [{"inputs": one[:-1], "targets": one[1:]} for one in notes]
