"""What every task keeps: pure, seeded batches of fixed dtypes, and errors that say what's wrong."""

import subprocess
import sys

import numpy as np
import pytest

from common.tasks import FiniteTask, MackeyGlass
from tests.common.tasks.settings import TASKS

SAMPLED = [task for task in TASKS if not isinstance(task, FiniteTask)]


def same(left, right):
    return left.keys() == right.keys() and all(
        np.array_equal(left[name], right[name]) for name in left
    )


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("task", TASKS, ids=repr)
def test_batch_is_a_pure_function_of_seed_split_and_step(task, split):
    np.random.seed(0)
    expected = np.random.random()
    np.random.seed(0)
    later = task.batch(3, seed=5, step=1, split=split)
    task.batch(3, seed=5, step=0, split=split)
    assert np.random.random() == expected  # the global generator was left alone
    assert same(task.batch(3, seed=5, step=1, split=split), later)


@pytest.mark.parametrize("task", SAMPLED, ids=repr)
def test_seeds_steps_and_splits_give_different_data(task):
    batches = [task.batch(8, 0, 0), task.batch(8, 1, 0), task.batch(8, 0, 1)]
    batches += [task.batch(8, 0, 0, "validation"), task.batch(8, 0, 0, "test")]
    assert len({batch["inputs"].tobytes() for batch in batches}) == len(batches)


@pytest.mark.parametrize("task", TASKS, ids=repr)
def test_dtypes_and_batch_axis(task):
    batch = task.batch(3, 0, 0)
    assert {"inputs", "targets"} <= batch.keys() <= {"inputs", "targets", "weights", "query"}
    for name, values in batch.items():
        assert len(values) == 3
        expected = {"float32"} if name == "weights" else {"float32", "int32"}
        assert values.dtype.name in expected
        assert np.isfinite(values).all()
    if "weights" in batch:
        assert set(np.unique(batch["weights"])) <= {0.0, 1.0}
        assert batch["weights"].any(axis=1).all()


@pytest.mark.parametrize("task", TASKS, ids=repr)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be a positive integer.* got 0"),
        ({"batch_size": 2.0}, "`batch_size` must be a positive integer.* got 2.0"),
        ({"seed": -1}, "`seed` must be a non-negative integer.* got -1"),
        ({"seed": 2**32}, "`seed` must be an integer .* got 4294967296"),
        ({"step": True}, "`step` must be a non-negative integer; got True"),
        ({"split": "dev"}, "`split` must be one of .*'train', .* got 'dev'"),
    ],
)
def test_batch_arguments_are_checked(task, change, message):
    arguments = {"batch_size": 2, "seed": 0, "step": 0} | change
    with pytest.raises(ValueError, match=f"{type(task).__name__}: {message}"):
        task.batch(**arguments)


def test_finite_training_split_is_shuffled_and_covered_every_epoch():
    task = MackeyGlass(series=20, length=10)
    assert task.steps_per_epoch(2) == 3
    everything = task.arrays()["inputs"]
    orders = []
    for epoch in range(3):
        steps = [task.batch(2, 0, 3 * epoch + step)["inputs"] for step in range(3)]
        assert [len(step) for step in steps] == [2, 2, 1]
        rows = np.concatenate(steps)
        matches = (rows[:, None] == everything[None]).all(axis=(2, 3))
        np.testing.assert_array_equal(matches.sum(axis=0), 1)
        orders.append(tuple(matches.argmax(axis=1)))
    assert len(set(orders)) > 1


def test_finite_test_split_keeps_its_order():
    task = MackeyGlass(series=12, length=10)
    everything = task.arrays("test")["inputs"]
    for step in (0, 2):
        batch = task.batch(4, seed=3, step=step, split="test")["inputs"]
        np.testing.assert_array_equal(batch, everything[:4])


def test_import_needs_no_framework():
    code = (
        "import sys, common.tasks\n"
        "heavy = {'keras', 'tensorflow', 'tensorflow_datasets', 'jax', 'torch'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
