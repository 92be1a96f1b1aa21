"""Evaluation sets that stay as they are: drawn once, written with TFDS, read back from then on."""

import os
from pathlib import Path

from common.checks import check_choice, check_integers
from common.reproduce.files import locked
from common.tasks.task import SPLITS, Arrays, Task


def frozen_split(
    task: Task, split: str, size: int, seed: int, data_dir: str | os.PathLike
) -> Arrays:
    """Reads a frozen split of a task, having prepared it if it is not there yet.

    The split is `task.batch(size, seed, step=0, split=split)` as it was when it was first asked
    for. It lies in `data_dir/<task>/<config>/<version>` as array_record files, where the
    config is named after the task's settings, the split, the size and the seed, and the version
    is `task.VERSION`, so that different data never share a directory. It appears there whole or
    not at all, also when several processes prepare it at once. TensorFlow is not imported.

    Args:
        task: The task.
        split: `"train"`, `"validation"` or `"test"`.
        size: Number of examples.
        seed: Seed of the split.
        data_dir: Root directory of the data.

    Returns:
        The arrays of `task.batch`.

    Raises:
        ValueError: if an argument is out of range.
        OSError: if what was read is not what was written.
    """
    check_choice(task, SPLITS, split=split)
    check_integers(task, 1, size=size)
    check_integers(task, 0, seed=seed)

    # Imported here: a second that only those who want frozen data should wait for.
    import tensorflow_datasets as tfds

    from common.tasks.datasets import builder_class
    from common.tasks.datasets.task_dataset import TaskConfig, digest, stack

    builder_type, config = builder_class(task), TaskConfig.of(task, {split: size}, seed)
    root = Path(data_dir).expanduser()
    directory = root / builder_type.name / config.name / task.VERSION
    if not directory.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        with locked(root):  # the second of two processes finds the work done
            builder = builder_type(config=config, data_dir=root, file_format="array_record")
            builder.download_and_prepare()

    # From the files alone: the sampler may have changed since.
    builder = tfds.builder_from_directory(directory)
    arrays = stack(builder.as_data_source(split=split))
    found, expected = digest(arrays), builder.info.metadata["sha256"][split]
    if found != expected:
        raise OSError(
            f"{directory} holds data with the SHA-256 {found}, expected {expected}: the files were "
            "changed. Delete the directory to draw the data anew."
        )
    return arrays
