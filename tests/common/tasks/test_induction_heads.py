import numpy as np
import pytest

from common.tasks import InductionHeads


def test_the_token_after_the_special_one_is_the_answer():
    batch = InductionHeads(length=20, vocabulary_size=6).batch(300, 0, 0)
    for inputs, targets, weights in zip(*batch.values(), strict=True):
        assert inputs.shape == targets.shape == weights.shape == (20,)
        first, second = np.flatnonzero(inputs == 5)
        assert second == 19
        assert set(np.delete(inputs, [first, second])) <= set(range(5))
        np.testing.assert_array_equal(targets, [0] * 19 + [inputs[first + 1]])
        np.testing.assert_array_equal(weights, [0] * 19 + [1])


def test_places_and_tokens_are_uniform():
    batch = InductionHeads(length=8, vocabulary_size=5).batch(20_000, 0, 0)
    place = (batch["inputs"] == 4).argmax(axis=1)
    np.testing.assert_allclose(np.bincount(place) / 20_000, np.full(6, 1 / 6), atol=0.015)
    others = batch["inputs"][batch["inputs"] != 4]
    np.testing.assert_allclose(np.bincount(others) / len(others), np.full(4, 0.25), atol=0.01)
    answers = batch["targets"][:, -1]
    np.testing.assert_allclose(np.bincount(answers) / 20_000, np.full(4, 0.25), atol=0.015)


def test_shortest_length():
    batch = InductionHeads(length=3, vocabulary_size=2).batch(4, 0, 0)
    np.testing.assert_array_equal(batch["inputs"], [[1, 0, 1]] * 4)
    np.testing.assert_array_equal(batch["targets"], 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 2}, "`length` must be an integer of .* 3; got 2"),
        ({"vocabulary_size": 1}, "`vocabulary_size` must be an integer of .* 2; got 1"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        InductionHeads(**settings)
