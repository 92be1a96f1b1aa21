"""The tasks as TFDS data sets that one loads by name."""

import dataclasses

import numpy as np
import pytest
import tensorflow_datasets as tfds

from common import tasks
from common.tasks import datasets
from common.tasks.checksums import builder_name, dataset_name, digest, recorded
from common.tasks.datasets.task_dataset import TaskConfig, TaskDataset, builder_class, stack
from tests.common.tasks.settings import TASKS

BUILDERS = sorted(
    builder.name for builder in TaskDataset.__subclasses__() if hasattr(datasets, builder.__name__)
)


def test_every_task_has_a_builder():
    found = {name for name in tasks.__all__ if isinstance(getattr(tasks, name), type)}
    found -= {"Task", "FiniteTask", "SequenceTask"}
    assert found <= set(vars(datasets))
    assert set(BUILDERS) <= set(tfds.list_builders())


@pytest.mark.parametrize("name", BUILDERS)
def test_loads_by_its_name(name, tmp_path):
    # Few and short examples: some tasks' default sets are large.
    cls = tfds.builder_cls(name)
    small = {"length": 40, "num_tokens": 4, "window": 40, "series": 8, "examples": 20}
    fields = cls.TASK.__dataclass_fields__
    settings = [f"{key}={value}" for key, value in small.items() if key in fields]
    loaded = tfds.load("/".join([name, ",".join([*settings, "train=3,test=3"])]), data_dir=tmp_path)
    assert set(loaded) == {"train", "test"}
    task = cls.TASK(**{key: value for key, value in small.items() if key in fields})
    want = task.batch(3, seed=0, step=0, split="test")
    for index, example in enumerate(tfds.as_numpy(loaded["test"])):
        assert example.keys() == want.keys()
        for key, values in example.items():
            np.testing.assert_array_equal(values, want[key][index])


@pytest.mark.parametrize("name", ["copy", "mqar", "parity", "safari_induction_head"])
def test_without_settings_it_has_the_default_ones(name, tmp_path):
    loaded = tfds.load(name, data_dir=tmp_path)
    assert set(loaded) == {"train", "validation", "test"}
    builder = tfds.builder(name, data_dir=tmp_path)
    assert builder.builder_config.name == "default"
    want = builder.builder_config.task.batch(len(loaded["test"]), seed=0, step=0, split="test")
    for index, example in enumerate(tfds.as_numpy(loaded["test"].take(3))):
        for key, values in example.items():
            np.testing.assert_array_equal(values, want[key][index])


@pytest.mark.parametrize("name", BUILDERS)
def test_says_what_it_is_and_where_it_is_from(name, tmp_path):
    info = tfds.builder(f"{name}/train=1", data_dir=tmp_path).info
    for feature in info.features:
        assert f'"{feature}"`' in info.description
    assert info.citation and info.homepage.startswith("https://")


def test_a_recorded_run_s_evaluation_set_loads_by_its_name(tmp_path):
    name, version, split = next(key for key in recorded() if key[0].startswith("mqar/voc"))
    builder = tfds.builder(name, data_dir=tmp_path)
    builder.download_and_prepare()
    assert f"mqar/{builder.builder_config.name}" == name and str(builder.version) == version
    assert digest(stack(builder.as_data_source(split=split))) == recorded()[name, version, split]


def test_loads_settings_of_ones_own(tmp_path):
    arguments = {"data_dir": tmp_path, "split": "test", "batch_size": -1}
    task = tasks.MQAR(length=16, num_pairs=3, random_non_queries=True)
    want = task.batch(5, seed=2, step=0, split="test")["inputs"]
    name = "mqar/length=16,num_pairs=3,random_non_queries=True,test=5,seed=2"
    loaded = tfds.as_numpy(tfds.load(name, **arguments))
    np.testing.assert_array_equal(loaded["inputs"], want)
    config = TaskConfig.of(task, {"test": 5}, seed=2)
    assert dataset_name(task, {"test": 5}, seed=2) == f"mqar/{config.name}" == name
    loaded = tfds.as_numpy(tfds.load("mqar", builder_kwargs={"config": config}, **arguments))
    np.testing.assert_array_equal(loaded["inputs"], want)


@pytest.mark.parametrize("task", TASKS, ids=repr)
def test_names_are_tfds_s(task):
    builder = builder_class(task)
    assert builder.TASK is type(task) and builder.name == builder_name(task)
    name, arguments = tfds.core.naming.parse_builder_name_kwargs(dataset_name(task, {"test": 3}))
    assert str(name) == builder.name and arguments.pop("test") == 3
    assert type(task)(**arguments) == task


def test_a_task_of_ones_own_has_a_name_but_is_not_registered(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class OnesOwn(tasks.Task):
        length: int

        def sample(self, rng, batch_size, split):
            return {"inputs": rng.integers(9, size=(batch_size, self.length))}

    got = tasks.frozen_split(OnesOwn(3), "test", 2, 0, tmp_path)
    np.testing.assert_array_equal(got["inputs"], OnesOwn(3).batch(2, 0, 0, "test")["inputs"])
    assert (tmp_path / "ones_own" / "length=3,test=2" / "1.0.0").is_dir()
    assert "ones_own" not in tfds.list_builders()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mqar/length=3", "`length`.*got 3"),
        ("mqar/test=0", "`test`.*got 0"),
        ("mqar/seed=-1", "`seed`.*got -1"),
        ("mqar/default/test=3", "`config` is 'default', expected none beside"),
    ],
)
def test_wrong_arguments_are_named(name, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        tfds.builder(name, data_dir=tmp_path)


def test_a_prepared_set_loads_from_its_directory(tmp_path):
    task = tasks.Copy(max_length=2)
    want = tasks.frozen_split(task, "test", 4, 0, tmp_path)
    loaded = tfds.load("copy/max_length=2,test=4", split="test", data_dir=tmp_path)
    got = np.stack([example["inputs"] for example in tfds.as_numpy(loaded)])
    np.testing.assert_array_equal(got, want["inputs"])
