import numpy as np
import pytest

from common.tasks.stacks import POP, PUSH, Stacks


@pytest.mark.parametrize("push", [0.0, 0.3, 0.6, 0.99])
def test_a_pop_has_the_element_that_was_pushed_last(push):
    task = Stacks(operations=40, num_stacks=3, num_elements=5, push=push)
    batch = task.batch(50, 0, 0)
    assert task.vocabulary_size == 10 and batch["inputs"].shape == (50, 120)
    assert batch["inputs"].max() == 9
    triples, targets, weights = (
        batch[name].reshape(50, 40, 3) for name in ("inputs", "targets", "weights")
    )
    for row, asked, counts in zip(triples, targets, weights, strict=True):
        stacks = {2: [], 3: [], 4: []}
        for (operation, stack, element), target, weight in zip(row, asked, counts, strict=True):
            if operation == PUSH:
                stacks[stack].append(element)
                np.testing.assert_array_equal(weight, [0, 0, 0])
            else:
                assert operation == POP
                assert stacks[stack].pop() == element == target[1]
                np.testing.assert_array_equal(weight, [0, 1, 0])
        assert counts.sum() > 0


def test_shares_are_those_of_the_settings():
    inputs = Stacks(operations=200).batch(100, 0, 0)["inputs"].reshape(100, 200, 3)
    assert inputs[..., 0].mean() == pytest.approx(0.4, abs=0.02)
    pushed = inputs[inputs[..., 0] == PUSH]
    assert set(np.unique(pushed[:, 1])) == set(range(2, 66))
    assert set(np.unique(pushed[:, 2])) == set(range(66, 125))


@pytest.mark.parametrize(
    "settings", [{"operations": 1}, {"num_stacks": 0}, {"num_elements": 0}, {"push": 1.5}]
)
def test_bad_settings_are_named(settings):
    with pytest.raises(ValueError, match=f"`{next(iter(settings))}`"):
        Stacks(**settings)
