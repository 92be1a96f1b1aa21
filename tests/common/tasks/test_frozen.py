import dataclasses
import multiprocessing
import subprocess
import sys

import numpy as np
import pytest

from common.tasks import Copy, KeyValueRetrieval, frozen_split
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
    with pytest.raises(OSError, match="SHA-256 .* expected .* Delete the directory"):
        frozen_split(task, "test", 2, 0, tmp_path)


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
        "import sys\n"
        "from common.tasks import Copy, frozen_split\n"
        f"for _ in range(2): frozen_split(Copy(), 'test', 2, 0, {str(tmp_path)!r})\n"
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
