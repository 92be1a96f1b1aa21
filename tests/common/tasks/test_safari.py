import dataclasses

import numpy as np
import pytest

from common.tasks import SafariAssociativeRecall, SafariInductionHead

TASKS = [SafariInductionHead, SafariAssociativeRecall]
SPLITS = {"train": 5000, "validation": 500, "test": 500}


def sequences(task, split):
    """Inputs with the answer at their end."""
    arrays = task.arrays(split)
    return np.concatenate([arrays["inputs"], arrays["targets"][:, -1:]], axis=1)


@pytest.mark.parametrize("make", TASKS)
def test_sizes_targets_and_weights_of_the_splits(make):
    task = make()
    for split, size in SPLITS.items():
        arrays = task.arrays(split)
        assert arrays["inputs"].shape[0] == size
        whole = sequences(task, split)
        np.testing.assert_array_equal(arrays["inputs"], whole[:, :-1])
        np.testing.assert_array_equal(arrays["targets"], whole[:, 1:])
        np.testing.assert_array_equal(arrays["weights"][:, -1], 1.0)
        np.testing.assert_array_equal(arrays["weights"][:, :-1], float(split == "train"))


@pytest.mark.parametrize("make", TASKS)
def test_all_examples_of_all_splits_are_different(make):
    rows = np.concatenate([sequences(make(), split) for split in SPLITS])
    assert len({row.tobytes() for row in rows}) == len(rows) == 6000


def test_induction_head():
    for split in SPLITS:
        places = []
        for row in sequences(SafariInductionHead(), split):
            assert len(row) == 32
            first, second = np.flatnonzero(row == 19)
            assert second == 30
            assert row[31] == row[first + 1]
            assert set(np.delete(row, [first, second])) <= set(range(1, 19))
            places.append(first)
        assert set(places) == set(range(28))  # neither of the last two of 30


def test_associative_recall():
    for split in SPLITS:
        several = 0
        for row in sequences(SafariAssociativeRecall(), split):
            assert len(row) == 23
            keys, values = row[0:20:2].tolist(), row[1:20:2].tolist()
            assert set(keys) <= {1, 2, 3, 4}
            assert set(values) <= {5, 6, 7, 8}
            memory: dict[int, int] = {}
            for key, value in zip(keys, values, strict=True):
                assert memory.setdefault(key, value) == value
            several += len(memory) > len(set(memory.values()))
            assert row[20] == 9
            assert row[22] == memory[row[21]]
        assert several > 0  # keys may share a value


def test_tokens_are_uniform():
    head = sequences(SafariInductionHead(), "train")
    tokens = np.bincount(head[head != 19], minlength=19)[1:]
    np.testing.assert_allclose(tokens / tokens.sum(), np.full(18, 1 / 18), rtol=0.1)
    place = (head == 19).argmax(axis=1)
    np.testing.assert_allclose(np.bincount(place) / 5000, np.full(28, 1 / 28), rtol=0.4)
    recall = sequences(SafariAssociativeRecall(), "train")
    for column, first in ((0, 1), (1, 5), (21, 1), (22, 5)):
        tokens = np.bincount(recall[:, column], minlength=9)[first : first + 4]
        assert tokens.sum() == 5000
        np.testing.assert_allclose(tokens / 5000, np.full(4, 0.25), atol=0.03)


def test_keys_that_occur_are_asked_for_alike():
    # Not position by position: a key that occurs often is asked for no more than another.
    task = SafariAssociativeRecall(length=10)
    rows = [row for row in sequences(task, "train") if len(set(row[0:10:2])) == 2]
    assert len(rows) > 600
    rare = [list(row[0:10:2]).count(row[11]) < 2.5 for row in rows]
    assert np.mean(rare) == pytest.approx(0.5, abs=0.06)


def test_an_odd_number_of_ordinary_tokens_has_one_value_more_than_keys():
    task = SafariAssociativeRecall(length=8, vocabulary_size=7, examples=50, test_examples=5)
    rows = sequences(task, "train")
    assert set(rows[:, 0:8:2].ravel()) == {1, 2}
    assert set(rows[:, 1:8:2].ravel()) == {3, 4, 5}


@pytest.mark.parametrize("make", TASKS)
def test_examples_depend_on_the_data_seed_and_not_on_how_many_there_are(make):
    task = make()
    more = dataclasses.replace(task, examples=9000)
    for split in SPLITS:
        np.testing.assert_array_equal(
            sequences(more, split)[: SPLITS[split]], sequences(task, split)
        )
    other = dataclasses.replace(task, data_seed=1)
    assert (sequences(other, "test") != sequences(task, "test")).any()


@pytest.mark.parametrize("make", TASKS)
def test_an_epoch_goes_through_all_examples(make):
    task = make(examples=70, test_examples=5)
    steps = task.steps_per_epoch(32)
    assert steps == 3
    rows = np.concatenate([task.batch(32, 0, step)["inputs"] for step in range(steps)])
    everything = task.arrays()["inputs"]
    assert sorted(map(bytes, rows)) == sorted(map(bytes, everything))
    assert (rows != everything).any()


@pytest.mark.parametrize("make", TASKS)
def test_shared_data_cannot_be_changed(make):
    for values in make(examples=5, test_examples=5).arrays("test").values():
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0


def test_too_few_different_sequences():
    # One ordinary token: only the place of the special one, 0 to 5, tells sequences apart.
    task = SafariInductionHead(length=8, vocabulary_size=3, examples=4, test_examples=1)
    assert [len(task.arrays(split)["inputs"]) for split in SPLITS] == [4, 1, 1]
    task = dataclasses.replace(task, examples=5)
    with pytest.raises(ValueError, match="SafariInductionHead: .* got 7, found 6"):
        task.arrays()


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (SafariInductionHead, {"length": 2}, "`length` must be an integer of .* 3; got 2"),
        (
            SafariInductionHead,
            {"vocabulary_size": 2},
            "`vocabulary_size` must be an integer of at least 3",
        ),
        (SafariInductionHead, {"examples": 0}, "`examples` must be a positive integer.* got 0"),
        (
            SafariAssociativeRecall,
            {"length": 1},
            "`length` must be an integer of .* 2; got 1",
        ),
        (SafariAssociativeRecall, {"length": 7}, "`length` must be even; got 7"),
        (
            SafariAssociativeRecall,
            {"vocabulary_size": 3},
            "`vocabulary_size` must be an integer of at least 4",
        ),
        (
            SafariAssociativeRecall,
            {"test_examples": 0},
            "`test_examples` must be a positive integer",
        ),
        (SafariAssociativeRecall, {"data_seed": -1}, "`data_seed` must be a non-negative integer"),
    ],
)
def test_bad_settings(make, settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)


def test_unknown_split():
    with pytest.raises(ValueError, match="`split` must be one of .* got 'dev'"):
        SafariInductionHead().arrays("dev")
