import numpy as np
import pytest

from common.tasks import SequenceDuplication


@pytest.mark.parametrize("score_separator", [True, False])
def test_sequences_repeat_after_the_separator(score_separator):
    task = SequenceDuplication(score_separator=score_separator)
    batch = task.batch(300, 0, 0)
    assert batch["inputs"].shape == (300, 128)
    counts = set()
    for inputs, targets, weights in zip(*batch.values(), strict=True):
        n = int(np.argmin(inputs))  # the separator is the first 0
        counts.add(n)
        symbols = inputs[:n]
        np.testing.assert_array_equal(
            inputs, np.concatenate([symbols, [0], symbols, np.zeros(127 - 2 * n)])
        )
        np.testing.assert_array_equal(targets, np.append(inputs[1:], 0))
        scored = np.flatnonzero(weights)
        first = n - 1 if score_separator else n
        np.testing.assert_array_equal(scored, np.arange(first, 2 * n))
        np.testing.assert_array_equal(targets[scored][-n:], symbols)
    assert counts == set(range(32, 63))


def test_symbols_are_uniform():
    inputs = SequenceDuplication().batch(300, 0, 0)["inputs"]
    counts = np.bincount(inputs[inputs > 0], minlength=11)
    assert len(counts) == 11
    np.testing.assert_allclose(counts[1:] / counts.sum(), np.full(10, 0.1), atol=0.01)


def test_shortest_length():
    batch = SequenceDuplication(length=6, symbols=2).batch(4, 0, 0)
    np.testing.assert_array_equal(batch["inputs"][:, 1], 0)
    np.testing.assert_array_equal(batch["inputs"][:, 2], batch["inputs"][:, 0])
    np.testing.assert_array_equal(batch["weights"], [[1, 1, 0, 0, 0, 0]] * 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 5}, "`length` must be an integer of .* 6; got 5"),
        ({"symbols": 0}, "`symbols` must be a positive integer.* got 0"),
        ({"score_separator": None}, "`score_separator` must be True or False; got None"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        SequenceDuplication(**settings)
