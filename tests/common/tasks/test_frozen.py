import dataclasses
import multiprocessing
import random
import subprocess
import sys

import numpy as np
import pytest

from common.tasks import (
    Copy,
    KeyValueRetrieval,
    MackeyGlass,
    SafariInductionHead,
    evaluation_set,
    frozen,
    frozen_split,
)
from tests.common.tasks.settings import TASKS


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].dtype == right[name].dtype
        np.testing.assert_array_equal(left[name], right[name])


@pytest.mark.parametrize("task", TASKS, ids=repr)
def test_round_trip(task, tmp_path):
    expected = task.batch(3, seed=7, step=0, split="test")
    assert_same(frozen_split(task, "test", 3, 7, tmp_path), expected)
    written = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*record*"))
    assert_same(frozen_split(task, "test", 3, 7, tmp_path), expected)
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*record*")) == written
    assert len(written) == 1


def test_different_settings_have_different_directories(tmp_path):
    task = Copy(max_length=2)
    frozen_split(task, "test", 2, 0, tmp_path)
    frozen_split(dataclasses.replace(task, delimiter="flag"), "test", 2, 0, tmp_path)
    frozen_split(task, "validation", 2, 0, tmp_path)
    frozen_split(task, "test", 3, 0, tmp_path)
    frozen_split(task, "test", 2, 1, tmp_path)
    directories = [path.name for path in (tmp_path / "copy").iterdir() if path.name[0] != "."]
    assert len(directories) == 5


def test_a_frozen_split_outlives_a_change_of_the_sampler(tmp_path, monkeypatch):
    task = Copy(max_length=2)
    before = frozen_split(task, "test", 2, 0, tmp_path)
    monkeypatch.setattr(Copy, "sample", lambda *_: {"inputs": np.zeros((2, 1), np.float32)})
    assert_same(frozen_split(task, "test", 2, 0, tmp_path), before)
    monkeypatch.setattr(Copy, "VERSION", "1.0.1")
    assert list(frozen_split(task, "test", 2, 0, tmp_path)) == ["inputs"]


def test_changed_files_are_noticed(tmp_path):
    task = Copy(max_length=2)
    frozen_split(task, "test", 2, 0, tmp_path)
    frozen_split(task, "test", 2, 1, tmp_path)
    first, second = sorted(tmp_path.rglob("*record*"))
    first.write_bytes(second.read_bytes())
    for read in (frozen_split, evaluation_set):
        with pytest.raises(ValueError, match="SHA-256 .* expected .* Delete the directory"):
            read(task, "test", 2, 0, tmp_path)


def test_a_killed_preparation_leaves_nothing_behind_that_is_read(tmp_path, monkeypatch):
    task = Copy(max_length=2)
    from common.tasks.datasets import Copy as CopyDataset

    def killed(self, arrays):
        yield 0, {name: values[0] for name, values in arrays.items()}
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CopyDataset, "_generate_examples", killed)
        with pytest.raises(KeyboardInterrupt):
            frozen_split(task, "test", 2, 0, tmp_path)
    assert_same(frozen_split(task, "test", 2, 0, tmp_path), task.batch(2, 0, 0, "test"))


def test_processes_may_prepare_at_once(tmp_path):
    task = KeyValueRetrieval(num_keys=5)
    context = multiprocessing.get_context("spawn")
    arguments = (task, "test", 4, 0, str(tmp_path))
    with context.Pool(2) as pool:
        results = pool.starmap(frozen_split, [arguments] * 2, chunksize=1)
    for result in results:
        assert_same(result, task.batch(4, 0, 0, "test"))


def test_tensorflow_is_not_imported(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from common.tasks import Copy, evaluation_set\n"
        f"for _ in range(2): evaluation_set(Copy(), 'test', 2, 0, {str(tmp_path)!r})\n"
        f"assert any(Path({str(tmp_path)!r}).iterdir())\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("split", "size", "seed", "message"),
    [
        ("dev", 1, 0, "`split` must be one of .* got 'dev'"),
        ("test", 0, 0, "`size` must be a positive integer.* got 0"),
        ("test", 1, -1, "`seed` must be a non-negative integer.* got -1"),
    ],
)
def test_bad_arguments(split, size, seed, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        frozen_split(Copy(), split, size, seed, tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.fixture(autouse=True)
def tell_again():
    frozen._tell.cache_clear()


RECORDED = Copy(min_length=3, max_length=3), "test", 32, 0  # what the NTM's runs are tested on


def test_an_evaluation_set_is_frozen(tmp_path):
    expected = RECORDED[0].batch(32, 0, 0, "test")
    assert_same(evaluation_set(*RECORDED, tmp_path), expected)
    assert (tmp_path / "copy" / "min_length=3,max_length=3,test=32" / "1.0.0").is_dir()
    assert_same(evaluation_set(*RECORDED, tmp_path), expected)


@pytest.mark.parametrize("prepared", [False, True])
def test_the_global_generators_are_left_alone(tmp_path, prepared):
    """Of them come the weights that a model starts from."""
    if prepared:
        evaluation_set(*RECORDED, tmp_path)
    python, numpy = random.getstate(), np.random.get_state()
    evaluation_set(*RECORDED, tmp_path)
    assert random.getstate() == python
    np.testing.assert_equal(np.random.get_state(), numpy)


def test_it_lies_where_tfds_has_its_data(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", tmp_path)
    evaluation_set(Copy(), "test", 2)
    assert (tmp_path / "copy" / "test=2" / "1.0.0").is_dir()


@pytest.mark.parametrize(
    "task", [SafariInductionHead(examples=20, test_examples=10), MackeyGlass(series=8, length=20)]
)
def test_all_of_a_finite_task(task, tmp_path):
    for split in ("validation", "test"):
        assert_same(evaluation_set(task, split, data_dir=tmp_path), task.arrays(split))
    assert len(list(tmp_path.rglob("dataset_info.json"))) == 1


def test_a_large_one_is_drawn(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(frozen, "LARGEST", 1000)
    assert_same(evaluation_set(*RECORDED, tmp_path), RECORDED[0].batch(32, 0, 0, "test"))
    assert not any(tmp_path.iterdir()) and not caplog.records


def test_without_a_place_to_write_they_are_drawn_and_it_is_said_once(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    for _ in range(2):
        arrays = evaluation_set(*RECORDED, tmp_path / "file")
        assert_same(arrays, RECORDED[0].batch(32, 0, 0, "test"))
    (record,) = [record for record in caplog.records if record.name == "common.tasks.frozen"]
    assert "drawn, not read from disk" in record.getMessage() and "file" in record.getMessage()


def test_without_array_record_they_are_drawn(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "array_record", None)
    assert_same(evaluation_set(*RECORDED, tmp_path), RECORDED[0].batch(32, 0, 0, "test"))
    assert "array_record" in caplog.text and not any(tmp_path.iterdir())


def test_a_full_disk_is_no_place_to_write(tmp_path, monkeypatch, caplog):
    from common.tasks.datasets import Copy as CopyDataset

    def full(self):
        raise RuntimeError("write() failed: No space left on device")

    monkeypatch.setattr(CopyDataset, "download_and_prepare", full)
    assert_same(evaluation_set(*RECORDED, tmp_path), RECORDED[0].batch(32, 0, 0, "test"))
    assert "No space left" in caplog.text


@pytest.mark.parametrize("prepared", [False, True])
def test_another_sampler_than_when_runs_were_recorded_is_noticed(tmp_path, monkeypatch, prepared):
    sample = Copy.sample

    def changed(self, rng, batch_size, split):
        rng.random()
        return sample(self, rng, batch_size, split)

    with monkeypatch.context() as patch:
        patch.setattr(Copy, "sample", changed)
        if prepared:
            frozen_split(*RECORDED, tmp_path)
        else:
            with pytest.raises(ValueError, match="min_length=3.* raise the task's VERSION"):
                evaluation_set(*RECORDED, tmp_path)
            patch.setattr(Copy, "VERSION", "1.0.1")
            evaluation_set(*RECORDED, tmp_path)
    with pytest.raises(ValueError, match="SHA-256 is .* expected .* delete .*copy"):
        evaluation_set(*RECORDED, tmp_path)


def test_a_stream_has_a_size():
    with pytest.raises(ValueError, match="`size` must be a positive integer.* got None"):
        evaluation_set(Copy(), "test")
