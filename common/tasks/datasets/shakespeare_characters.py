"""The TFDS builder of tiny Shakespeare, split as character models are trained on it."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from common.tasks.datasets.file_dataset import Examples, FileDataset
from common.tasks.sources import Source


class ShakespeareCharacters(FileDataset):
    """Plays of Shakespeare, 1,115,394 characters ("tiny Shakespeare").

    `"text"`: uint8 `(T,)`, codes of ASCII. One example a split: the first 90 % for training, then
    5 % each for validation and testing. The last two together are often called the validation set.
    """

    SOURCE = Source(
        file="tinyshakespeare.txt",
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    )
    CITATION = "Karpathy 2015. The Unreasonable Effectiveness of Recurrent Neural Networks."
    HOMEPAGE = "https://github.com/karpathy/char-rnn"

    @classmethod
    def features(cls) -> dict[str, Any]:
        text = tfds.features.Tensor(shape=(None,), dtype=np.uint8, encoding="bytes")
        return {"text": text}

    def examples(self, path: Path) -> Examples:
        text = np.frombuffer(path.read_bytes(), np.uint8)
        first, last = len(text) * 90 // 100, len(text) * 95 // 100
        parts = {"train": text[:first], "validation": text[first:last], "test": text[last:]}
        return {split: [{"text": part}] for split, part in parts.items()}
