import numpy as np
import pytest

from common.tasks import KeyValueRetrieval


def check_answers(batch):
    """Every query that counts is answered by the last pair with its key."""
    for pairs, query, targets, weights in zip(*batch.values(), strict=True):
        memory = {}
        for key, value in pairs:
            memory[key] = value
        for key, value, weight in zip(query, targets, weights, strict=True):
            assert memory[key] == value if weight else (key, value) == (0, 0)


def test_capacity_setting_uses_every_key_and_value_once():
    batch = KeyValueRetrieval(num_keys=20).batch(32, 0, 0)
    assert list(batch) == ["inputs", "query", "targets", "weights"]
    assert batch["inputs"].shape == (32, 20, 2)
    assert batch["query"].shape == batch["targets"].shape == (32, 1)
    expected = np.broadcast_to(np.arange(20)[:, None], (32, 20, 2))
    np.testing.assert_array_equal(np.sort(batch["inputs"], axis=1), expected)
    # Keys and values are shuffled apart from each other.
    assert np.mean(batch["inputs"][..., 0] == batch["inputs"][..., 1]) < 0.1
    check_answers(batch)


def test_update_setting_draws_with_replacement():
    batch = KeyValueRetrieval(num_keys=20, replacement=True).batch(256, 0, 0)
    assert batch["inputs"].shape == (256, 40, 2)
    assert (batch["weights"] == 1).all()
    check_answers(batch)
    counts = np.bincount(batch["inputs"].ravel(), minlength=20)
    assert len(counts) == 20
    np.testing.assert_allclose(counts / counts.sum(), 0.05, atol=0.005)


def test_every_position_is_asked_for_alike():
    batch = KeyValueRetrieval(num_keys=4).batch(10_000, 0, 0)
    position = np.argmax(batch["inputs"][..., 0] == batch["query"], axis=1)
    np.testing.assert_allclose(np.bincount(position) / 10_000, np.full(4, 0.25), atol=0.02)


def test_query_is_the_key_at_a_random_position():
    # Position by position, so a key that occurs more often is asked for more often.
    batch = KeyValueRetrieval(num_keys=2, replacement=True).batch(20_000, 0, 0)
    ones = batch["inputs"][..., 0].sum(axis=1)
    for count in (1, 2, 3):
        asked = batch["query"][ones == count].mean()
        assert asked == pytest.approx(count / 4, abs=0.02)


@pytest.mark.parametrize(("full", "length"), [(False, 12), (True, 24)])
def test_evaluation_asks_for_every_key_that_occurs(full, length):
    task = KeyValueRetrieval(num_keys=12, replacement=True, full_length_test=full)
    batch = task.batch(20, 0, 0, "test")
    assert batch["inputs"].shape == (20, length, 2)
    assert batch["query"].shape == (20, 12)
    check_answers(batch)
    for pairs, query, weights in zip(
        batch["inputs"], batch["query"], batch["weights"], strict=True
    ):
        np.testing.assert_array_equal(query[weights == 1], np.unique(pairs[:, 0]))


def test_evaluation_of_the_capacity_setting_is_the_same_in_both_lengths():
    short = KeyValueRetrieval(num_keys=9).batch(3, 0, 0, "test")
    full = KeyValueRetrieval(num_keys=9, full_length_test=True).batch(3, 0, 0, "test")
    for name in short:
        np.testing.assert_array_equal(short[name], full[name])
    assert (short["weights"] == 1).all()
    check_answers(short)


def test_evaluation_stops_at_max_queries():
    task = KeyValueRetrieval(num_keys=9, max_queries=4)
    batch = task.batch(2, 0, 0, "test")
    np.testing.assert_array_equal(batch["query"], [[0, 1, 2, 3]] * 2)
    check_answers(batch)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_keys": 0}, "`num_keys` must be a positive integer.* got 0"),
        ({"replacement": 1}, "`replacement` must be True or False; got 1"),
        ({"max_queries": 0}, "`max_queries` must be a positive integer.* got 0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        KeyValueRetrieval(**settings)
