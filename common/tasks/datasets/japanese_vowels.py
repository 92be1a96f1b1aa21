"""The TFDS builder of JapaneseVowels, whose sequences are of unequal lengths."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from common.tasks.datasets.file_dataset import Examples, FileDataset
from common.tasks.sources import Source
from common.tasks.task import Arrays

SPEAKERS = 9
COEFFICIENTS = 12

_MEMBER = "aeon/datasets/data/JapaneseVowels/JapaneseVowels_{}.ts"


class JapaneseVowels(FileDataset):
    """Two vowels in a row, spoken by nine men: 270 utterances for training and 370 for testing.

    `"coefficients"`: float32 `(T, 12)`, of linear prediction, from 7 to 29 steps. `"speaker"`:
    from 0 to 8. The training utterances are in the order of the speakers, 30 of each.
    """

    SOURCE = Source(
        file="aeon-1.6.0-py3-none-any.whl",
        url="https://files.pythonhosted.org/packages/7d/49/"
        "034d8d142106e035fce019d8ee6f04d3ac8842490cd33f811d4df8e15da3/aeon-1.6.0-py3-none-any.whl",
        sha256="d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409",
        command="pip download --no-deps aeon==1.6.0 -d",
    )
    CITATION = (
        "Kudo et al. 1999. Multidimensional Curve Classification Using Passing-Through Regions."
    )
    HOMEPAGE = "https://archive.ics.uci.edu/dataset/128/japanese+vowels"

    @classmethod
    def features(cls) -> dict[str, Any]:
        shape = (None, COEFFICIENTS)
        return {
            "coefficients": tfds.features.Tensor(shape=shape, dtype=np.float32, encoding="bytes"),
            "speaker": tfds.features.ClassLabel(num_classes=SPEAKERS),
        }

    def examples(self, path: Path) -> Examples:
        with zipfile.ZipFile(path) as archive:
            return {
                split: _read(archive.read(_MEMBER.format(split.upper())).decode())
                for split in ("train", "test")
            }


def _read(text: str) -> list[Arrays]:
    """The examples of a file of sktime's format: an example a line, a dimension a part of it."""
    _, _, data = text.partition("@data")
    examples = []
    for line in data.split():
        *dimensions, label = line.split(":")
        values = np.array([one.split(",") for one in dimensions], np.float32)
        examples.append({"coefficients": values.T, "speaker": np.array(int(label) - 1)})
    return examples
