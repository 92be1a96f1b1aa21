"""Names of the tasks' data sets, and the SHA-256 of those that recorded runs were evaluated on."""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from common.reproduce.files import read_csv
from common.tasks.task import Arrays, Task

PATH = Path(__file__).with_name("checksums.csv")
COLUMNS = ("dataset", "version", "split", "sha256")


def digest(arrays: Arrays) -> str:
    """SHA-256 of the names, dtypes, shapes and contents of `arrays`, in hexadecimal."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        values = arrays[name]
        sha.update(f"{name} {values.dtype.str} {values.shape} ".encode())
        sha.update(values.tobytes())
    return sha.hexdigest()


def builder_name(task: Task) -> str:
    """The class's name as TFDS spells it: `"mqar"`, `"mad_selective_copying"`."""
    words = re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", type(task).__name__)
    return re.sub("([a-z0-9])([A-Z])", r"\1_\2", words).lower()


def config_name(task: Task, sizes: Mapping[str, int] | None = None, seed: int = 0) -> str:
    """What differs from the defaults, as TFDS takes it: `"length=128,num_pairs=8,test=3000"`."""
    different = {
        field.name: getattr(task, field.name)
        for field in dataclasses.fields(task)
        if getattr(task, field.name) != field.default
    }
    different |= {**(sizes or {}), **({"seed": seed} if seed else {})}
    return ",".join(f"{name}={value}" for name, value in different.items()) or "default"


def dataset_name(task: Task, sizes: Mapping[str, int] | None = None, seed: int = 0) -> str:
    """The name for `tfds.load`, after `import common.tasks.datasets`."""
    return f"{builder_name(task)}/{config_name(task, sizes, seed)}"


@functools.cache
def recorded() -> dict[tuple[str, str, str], str]:
    """Name of a data set, version and split to the SHA-256 of `checksums.csv`."""
    return {
        (row["dataset"], row["version"], row["split"]): row["sha256"]
        for row in read_csv(PATH, COLUMNS)
    }
