import numpy as np
import pytest

from common.tasks import MADSelectiveCopying, MambaSelectiveCopying


def test_mamba_form():
    task = MambaSelectiveCopying(length=50, vocabulary_size=6, num_tokens=5)
    batch = task.batch(200, 0, 0)
    for inputs, targets, weights in zip(*batch.values(), strict=True):
        assert inputs.shape == targets.shape == (55,)
        context = inputs[:50]
        data = context[context != 0]
        assert len(data) == 5
        assert set(data) <= {1, 2, 3, 4}
        np.testing.assert_array_equal(inputs[50:], 5)
        np.testing.assert_array_equal(targets, [0] * 50 + list(data))
        np.testing.assert_array_equal(weights, [0] * 50 + [1] * 5)


def test_mamba_form_spreads_its_data_evenly():
    inputs = MambaSelectiveCopying(length=10, num_tokens=3).batch(20_000, 0, 0)["inputs"]
    np.testing.assert_allclose((inputs[:, :10] != 0).mean(axis=0), np.full(10, 0.3), atol=0.02)
    data = inputs[:, :10][inputs[:, :10] != 0]
    frequency = np.bincount(data, minlength=15)[1:] / len(data)
    np.testing.assert_allclose(frequency, np.full(14, 1 / 14), atol=0.01)


def test_mamba_form_at_the_length_of_the_paper():
    batch = MambaSelectiveCopying().batch(2, 0, 0)
    assert batch["inputs"].shape == (2, 4112)
    np.testing.assert_array_equal((batch["inputs"][:, :4096] != 0).sum(axis=1), 16)


def test_mad_form():
    task = MADSelectiveCopying(length=30, vocabulary_size=6, num_tokens=5)
    batch = task.batch(200, 0, 0)
    for inputs, targets, weights in zip(*batch.values(), strict=True):
        assert inputs.shape == targets.shape == (30,)
        context = inputs[:24]
        data = context[context != 4]  # 4 is the blank
        assert len(data) == 5
        assert set(data) <= {0, 1, 2, 3}
        assert context[-1] != 4  # no blank between the last token and the copy token
        np.testing.assert_array_equal(inputs[24:], [5, 4, 4, 4, 4, 4])
        np.testing.assert_array_equal(targets, [0] * 25 + list(data))
        np.testing.assert_array_equal(weights, [0] * 25 + [1] * 5)


def test_mad_blanks_are_spread_as_by_inserting_them_one_by_one():
    # The distribution of the places, against `np.insert` at random places before a token.
    length, tokens = 12, 3
    inputs = MADSelectiveCopying(length=length, num_tokens=tokens).batch(20_000, 0, 0)["inputs"]
    found = (inputs[:, : length - tokens - 1] != 14).mean(axis=0)
    rng = np.random.default_rng(0)
    blanks = length - 2 * tokens - 1
    expected = np.zeros(length - tokens - 1)
    for _ in range(20_000):
        places = rng.integers(0, tokens, size=blanks)
        expected += np.insert(np.ones(tokens), places, np.zeros(blanks))
    np.testing.assert_allclose(found, expected / 20_000, atol=0.02)


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (
            MambaSelectiveCopying,
            {"length": 15},
            "`length` must be an integer of .* 16; got 15",
        ),
        (
            MambaSelectiveCopying,
            {"vocabulary_size": 2},
            "`vocabulary_size` must be an integer of at least 3",
        ),
        (
            MADSelectiveCopying,
            {"length": 33},
            "`length` must be an integer of .* 34; got 33",
        ),
        (MADSelectiveCopying, {"num_tokens": 0}, "`num_tokens` must be a positive integer"),
    ],
)
def test_bad_settings(make, settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)
