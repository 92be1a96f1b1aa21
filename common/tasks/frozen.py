"""Evaluation sets that stay as they are: drawn once, written with TFDS, read back from then on."""

import functools
import io
import logging
import os
import random
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np

# With this module, which trials import before the progress bar's thread starts: meanwhile every
# import of another thread goes through TFDS's, and fails where it is a relative one.
import tensorflow_datasets as tfds

from common.checks import check_choice, check_integers
from common.reproduce.files import FileError, locked
from common.tasks.checksums import PATH, builder_name, config_name, dataset_name, digest, recorded
from common.tasks.datasets.task_dataset import TaskConfig, builder_class, stack
from common.tasks.task import SPLITS, Arrays, FiniteTask, Task

# A larger set is drawn whenever it is wanted, which takes less time than to read it.
LARGEST = 64 * 2**20

Root = str | os.PathLike | None


def evaluation_set(
    task: Task, split: str, size: int | None = None, seed: int = 0, data_dir: Root = None
) -> Arrays:
    """What a run is evaluated on: a frozen split, the same in every run that asks for it.

    Where it can't be frozen (no array_record, no place to write) it is drawn, with a line on
    standard error once a process, and without one if it is larger than 64 MiB. Either way it must
    have the SHA-256 that `checksums.csv` has for it, if it has one: those of recorded runs, but
    for real numbers that another machine computes with other last bits.

    Args:
        task: The task.
        split: `"train"`, `"validation"` or `"test"`.
        size: Number of examples; `None` is all that a finite task has.
        seed: Seed of the split.
        data_dir: Root directory of the data; `None` is that of TFDS, `$TFDS_DATA_DIR` or
            `~/tensorflow_datasets`.

    Returns:
        The arrays of `task.batch(size, seed, step=0, split=split)`, or of `task.arrays(split)`.

    Raises:
        ValueError: if an argument is out of range, or the data are not those that were recorded,
            because the sampler changed or NumPy.
    """
    arrays, found = None, None
    if _bytes(task, split, size, seed) <= LARGEST:
        try:
            arrays, found = _frozen(task, split, size, seed, data_dir)
        except (ImportError, OSError) as error:
            _tell(f"Evaluation sets are drawn, not read from disk: {error}.")
    if arrays is None:
        arrays = _draw(task, split, size, seed)
    name = dataset_name(task, None if size is None else {split: size}, seed)
    expected = recorded().get((name, task.VERSION, split))
    if expected is not None and (found := found or digest(arrays)) != expected:
        raise ValueError(
            f"{name}, version {task.VERSION}, split {split}: the SHA-256 is {found}, expected "
            f"{expected} of {PATH}. NumPy {np.__version__} or a changed sampler draws other "
            "numbers than recorded runs were evaluated on; if that is meant, raise the task's "
            f"VERSION. If they were read, delete {builder_name(task)} in the data directory."
        )
    return arrays


def frozen_split(task: Task, split: str, size: int | None, seed: int, data_dir: Root) -> Arrays:
    """Reads a frozen split of a task, having prepared it if it is not there yet.

    The split is as it was when it was first asked for. It lies in
    `data_dir/<task>/<config>/<version>` as array_record files, where the config is named after
    the task's settings, the split, the size and the seed as far as they are no defaults, and the
    version is `task.VERSION`, so that different data never share a directory. It appears there
    whole or not at all, also when several processes prepare it at once. TensorFlow is not imported.

    Args:
        task: The task.
        split: `"train"`, `"validation"` or `"test"`.
        size: Number of examples; `None` is all that a finite task has.
        seed: Seed of the split.
        data_dir: Root directory of the data; `None` is that of TFDS.

    Returns:
        The arrays of `task.batch(size, seed, step=0, split=split)`, or of `task.arrays(split)`.

    Raises:
        ValueError: if an argument is out of range, or what was read is not what was written.
        ImportError: without array_record, which has no build for Windows.
        OSError: if the data are not there and can't be written.
    """
    return _frozen(task, split, size, seed, data_dir)[0]


def _frozen(
    task: Task, split: str, size: int | None, seed: int, data_dir: Root
) -> tuple[Arrays, str]:
    """`frozen_split`, and the SHA-256 of what it returns."""
    _check(task, split, size, seed)

    import array_record  # noqa: F401

    sizes = None if size is None else {split: size}
    root = Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
    directory = root / builder_name(task) / config_name(task, sizes, seed) / task.VERSION
    if not directory.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        builder = builder_class(task)(config=TaskConfig.of(task, sizes, seed), data_dir=root)
        noise = io.StringIO()
        # TFDS draws a temporary name from the generator that Keras's initializers are seeded by.
        generator = random.getstate()
        try:
            # The second of two processes finds the work done.
            with locked(root), redirect_stdout(noise), redirect_stderr(noise):
                builder.download_and_prepare()
        except RuntimeError as error:  # array_record's on a full disk, the lock's where none is
            raise OSError(f"{directory} can't be written: {error}") from error
        finally:
            random.setstate(generator)

    # From the files alone: the sampler may have changed since.
    builder = tfds.builder_from_directory(directory)
    if builder.info.file_format != tfds.core.FileFormat.ARRAY_RECORD:
        raise OSError(f"{directory} holds {builder.info.file_format.value}, expected array_record")
    arrays = stack(builder.as_data_source(split=split))
    found, expected = digest(arrays), builder.info.metadata["sha256"][split]
    if found != expected:
        raise FileError(
            f"{directory} holds data with the SHA-256 {found}, expected {expected}: the files were "
            "changed. Delete the directory to draw the data anew."
        )
    return arrays, found


def _check(task: Task, split: str, size: int | None, seed: int) -> None:
    check_choice(task, SPLITS, split=split)
    check_integers(task, 0, seed=seed)
    if size is not None or not isinstance(task, FiniteTask):
        check_integers(task, 1, size=size)


def _draw(task: Task, split: str, size: int | None, seed: int) -> Arrays:
    if size is None:
        assert isinstance(task, FiniteTask), "checked"
        return task.arrays(split)
    return task.batch(size, seed, 0, split)


def _bytes(task: Task, split: str, size: int | None, seed: int) -> int:
    """Of the set, without drawing all of it."""
    _check(task, split, size, seed)
    arrays = _draw(task, split, None if size is None else 1, seed)
    return (size or 1) * sum(values.nbytes for values in arrays.values())


@functools.cache
def _tell(line: str) -> None:
    logging.getLogger(__name__).warning(line)
