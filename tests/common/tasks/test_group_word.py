import itertools

import numpy as np
import pytest

from common.tasks import GroupWord


def even(permutation):
    """Whether a permutation has an even number of cycles of even length."""
    left, count = set(permutation), 0
    while left:
        size, i = 0, min(left)
        while i in left:
            left.remove(i)
            i, size = permutation[i], size + 1
        count += size % 2 == 0
    return count % 2 == 0


def permutations(size, only_even):
    return [p for p in itertools.permutations(range(size)) if even(p) or not only_even]


def shuffle(row, permutation):
    """Brings the content of place i to place `permutation[i]`."""
    result = list(row)
    for i, place in enumerate(permutation):
        result[place] = row[i]
    return result


@pytest.mark.parametrize(("group", "order"), [("S5", 120), ("A5", 60)])
def test_products_of_permutations_are_what_shuffling_one_after_the_other_does(group, order):
    task = GroupWord(group=group, length=15)
    elements = permutations(5, group == "A5")
    assert task.vocabulary_size == len(elements) == order
    batch = task.batch(200, 0, 0)
    assert batch["inputs"].shape == (200, 15)
    for inputs, targets in zip(batch["inputs"], batch["targets"], strict=True):
        row = list("abcde")
        for x, y in zip(inputs, targets, strict=True):
            row = shuffle(row, elements[x])
            assert row == shuffle("abcde", elements[y])


def test_products_in_a_direct_product():
    task = GroupWord(group="A4xZ5", length=15)
    elements = list(itertools.product(permutations(4, True), range(5)))
    assert task.vocabulary_size == len(elements) == 60
    batch = task.batch(200, 0, 0)
    for inputs, targets in zip(batch["inputs"], batch["targets"], strict=True):
        row, total = list("abcd"), 0
        for x, y in zip(inputs, targets, strict=True):
            permutation, number = elements[x]
            row, total = shuffle(row, permutation), (total + number) % 5
            assert row == shuffle("abcd", elements[y][0])
            assert total == elements[y][1]


def test_sums_modulo_60():
    batch = GroupWord(group="Z60", length=40).batch(50, 0, 0)
    np.testing.assert_array_equal(batch["targets"], np.cumsum(batch["inputs"], axis=1) % 60)
    assert GroupWord(group="Z60").vocabulary_size == 60


@pytest.mark.parametrize("group", ["S5", "A5", "Z60", "A4xZ5"])
def test_elements_are_uniform_and_all_steps_count(group):
    task = GroupWord(group=group, length=20)
    batch = task.batch(5000, 0, 0)
    np.testing.assert_array_equal(batch["weights"], 1.0)
    n = task.vocabulary_size
    for name in ("inputs", "targets"):
        frequency = np.bincount(batch[name].ravel(), minlength=n) / batch[name].size
        np.testing.assert_allclose(frequency, np.full(n, 1 / n), rtol=0.15)
    np.testing.assert_array_equal(batch["inputs"][:, 0], batch["targets"][:, 0])


def test_swaps_only():
    task = GroupWord(length=30, swaps_only=True)
    batch = task.batch(2000, 0, 0)
    elements = permutations(5, False)
    swaps = [i for i, p in enumerate(elements) if sum(x != y for x, y in enumerate(p)) in (0, 2)]
    assert len(swaps) == 11
    counts = np.bincount(batch["inputs"].ravel(), minlength=120)
    np.testing.assert_array_equal(np.flatnonzero(counts), swaps)
    np.testing.assert_allclose(counts[swaps] / counts.sum(), np.full(11, 1 / 11), atol=0.01)
    assert len(np.unique(batch["targets"][:, -1])) == 120  # swaps generate the whole group
    for inputs, targets in zip(batch["inputs"][:100], batch["targets"][:100], strict=True):
        row = list("abcde")
        for x in inputs:
            row = shuffle(row, elements[x])
        assert row == shuffle("abcde", elements[targets[-1]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"group": "S4"}, "`group` must be one of .* got 'S4'"),
        ({"length": 0}, "`length` must be a positive integer.* got 0"),
        ({"swaps_only": 1}, "`swaps_only` must be True or False; got 1"),
        ({"group": "A5", "swaps_only": True}, "`swaps_only` must be False unless .* got True"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        GroupWord(**settings)
