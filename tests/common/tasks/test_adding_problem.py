"""The adding problem: two marks a sequence, anywhere, and the sum of what they mark."""

import numpy as np

from common.tasks.adding_problem import AddingProblem


def test_the_target_is_the_sum_of_the_two_marked_numbers():
    batch = AddingProblem(length=7).batch(500, 0, 0)
    numbers, marks = np.moveaxis(batch["inputs"], -1, 0)
    assert set(np.unique(marks)) == {0, 1} and np.all(marks.sum(1) == 2)
    assert numbers.min() >= 0 and numbers.max() < 1
    np.testing.assert_allclose(batch["targets"][:, 0], (numbers * marks).sum(1), rtol=1e-6)


def test_every_pair_of_steps_is_equally_likely():
    marks = AddingProblem(length=4).batch(6000, 0, 0)["inputs"][..., 1]
    pairs, counts = np.unique(marks, axis=0, return_counts=True)
    assert len(pairs) == 6
    assert np.all(np.abs(counts - 1000) < 120)  # four standard deviations


def test_saying_1_costs_a_sixth():
    targets = AddingProblem(length=5).batch(20_000, 0, 0)["targets"]
    assert abs(np.square(targets - 1).mean() - 1 / 6) < 0.005
