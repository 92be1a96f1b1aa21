"""The tasks as TFDS data sets that one loads by name."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from common import tasks
from common.tasks import datasets
from common.tasks.datasets.task_dataset import TaskConfig, TaskDataset

BUILDERS = sorted(builder.name for builder in TaskDataset.__subclasses__())


def test_every_generated_task_has_a_builder():
    generated = {name for name in tasks.__all__ if isinstance(getattr(tasks, name), type)}
    generated -= {"Task", "FiniteTask", "SequentialMNIST"}  # TFDS has mnist itself
    assert generated <= set(vars(datasets))
    assert set(BUILDERS) <= set(tfds.list_builders())


@pytest.mark.parametrize("name", ["copy", "mqar", "parity", "safari_induction_head"])
def test_loads_by_its_name(name, tmp_path):
    loaded = tfds.load(name, data_dir=tmp_path)
    assert set(loaded) == {"train", "validation", "test"}
    task = tfds.builder(name, data_dir=tmp_path).builder_config.task
    size = len(loaded["test"])
    want = task.batch(size, seed=0, step=0, split="test")
    for index, example in enumerate(tfds.as_numpy(loaded["test"].take(3))):
        for key, values in example.items():
            np.testing.assert_array_equal(values, want[key][index])


def test_loads_settings_of_ones_own(tmp_path):
    config = TaskConfig.of(
        tasks.MQAR(vocabulary_size=20, length=16, num_pairs=3), {"test": 5}, seed=2
    )
    loaded = tfds.load(
        "mqar", split="test", data_dir=tmp_path, builder_kwargs={"config": config}, batch_size=-1
    )
    want = config.task.batch(5, seed=2, step=0, split="test")
    np.testing.assert_array_equal(tfds.as_numpy(loaded)["inputs"], want["inputs"])


def test_a_prepared_set_loads_from_its_directory(tmp_path):
    task = tasks.Copy(max_length=2)
    want = tasks.frozen_split(task, "test", 4, 0, tmp_path)
    config = TaskConfig.of(task, {"test": 4}, seed=0)
    loaded = tfds.load("copy", split="test", data_dir=tmp_path, builder_kwargs={"config": config})
    got = np.stack([example["inputs"] for example in tfds.as_numpy(loaded)])
    np.testing.assert_array_equal(got, want["inputs"])
