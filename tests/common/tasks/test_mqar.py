import itertools

import numpy as np
import pytest

from common.tasks import MQAR


@pytest.mark.parametrize("random_non_queries", [False, True])
def test_every_query_is_answered_by_the_value_of_its_key(random_non_queries):
    task = MQAR(vocabulary_size=30, length=24, num_pairs=5, random_non_queries=random_non_queries)
    batch = task.batch(300, 0, 0)
    for inputs, targets, weights in zip(*batch.values(), strict=True):
        assert inputs.shape == targets.shape == weights.shape == (24,)
        keys, values = inputs[0:10:2].tolist(), inputs[1:10:2].tolist()
        assert len(set(keys)) == len(set(values)) == 5
        assert set(keys) <= set(range(1, 15))
        assert set(values) <= set(range(15, 30))
        memory = dict(zip(keys, values, strict=True))
        queries = np.flatnonzero(weights)
        assert sorted(inputs[queries]) == sorted(keys)  # every key is asked for once
        assert (queries >= 10).all()
        assert (queries % 2 == 0).all()
        np.testing.assert_array_equal(targets[queries], [memory[key] for key in inputs[queries]])
        others = np.delete(np.arange(24), queries)
        np.testing.assert_array_equal(targets[others], 0)
        if not random_non_queries:
            np.testing.assert_array_equal(inputs[others[10:]], 0)


def test_noise_between_the_queries_is_uniform_over_the_whole_vocabulary():
    task = MQAR(vocabulary_size=10, length=40, num_pairs=2, random_non_queries=True)
    batch = task.batch(2000, 0, 0)
    noise = batch["inputs"][:, 4:][batch["weights"][:, 4:] == 0]
    np.testing.assert_allclose(np.bincount(noise) / len(noise), np.full(10, 0.1), atol=0.005)
    assert len(noise) == 2000 * 34


def test_keys_and_values_are_uniform_in_every_pair():
    inputs = MQAR(vocabulary_size=12, length=16, num_pairs=3).batch(20_000, 0, 0)["inputs"]
    for pair in range(3):
        keys = np.bincount(inputs[:, 2 * pair], minlength=12) / 20_000
        np.testing.assert_allclose(keys, [0] + [0.2] * 5 + [0] * 6, atol=0.015)
        values = np.bincount(inputs[:, 2 * pair + 1], minlength=12) / 20_000
        np.testing.assert_allclose(values, [0] * 6 + [1 / 6] * 6, atol=0.015)


@pytest.mark.parametrize("power", [0.01, 0.5, 1.0])
def test_queries_are_drawn_from_the_power_law_without_replacement(power):
    # Where the query of each pair stands, against NumPy's own draws without replacement.
    task = MQAR(vocabulary_size=16, length=20, num_pairs=3, power=power)
    inputs = task.batch(10_000, 0, 0)["inputs"]
    law = power * np.arange(1, 8) ** (power - 1)
    rng = np.random.default_rng(0)
    draws = [rng.choice(7, size=3, replace=False, p=law / law.sum()) for _ in range(10_000)]
    for pair in range(3):
        later = inputs[:, 6:] == inputs[:, 2 * pair, None]
        np.testing.assert_array_equal(later.sum(axis=1), 1)
        slot = later.argmax(axis=1) // 2
        found = np.bincount(slot, minlength=7) / 10_000
        expected = np.bincount(np.array(draws)[:, pair], minlength=7) / 10_000
        np.testing.assert_allclose(found, expected, atol=0.025)


def test_settings_of_the_paper():
    batch = MQAR(length=256, num_pairs=64).batch(2, 0, 0)
    np.testing.assert_array_equal(batch["weights"].sum(axis=1), 64)
    assert batch["inputs"].max() > 7000


def test_as_many_pairs_as_there_is_room_for():
    # Every key and every slot occurs, the keys in every order alike.
    batch = MQAR(vocabulary_size=8, length=12, num_pairs=3).batch(20_000, 0, 0)
    orders, counts = np.unique(batch["inputs"][:, 0:6:2], axis=0, return_counts=True)
    np.testing.assert_array_equal(orders, list(itertools.permutations([1, 2, 3])))
    np.testing.assert_allclose(counts / 20_000, np.full(6, 1 / 6), atol=0.015)
    np.testing.assert_array_equal(batch["weights"], [[0] * 6 + [1, 0] * 3] * 20_000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_pairs": 0}, "`num_pairs` must be a positive integer.* got 0"),
        ({"vocabulary_size": 9}, "`vocabulary_size` must be an integer of .* 10; got 9"),
        ({"length": 15}, "`length` must be an integer of .* 16; got 15"),
        ({"length": 17}, "`length` must be even; got 17"),
        ({"power": 0}, "`power` must be a finite number above 0; got 0"),
        ({"power": "law"}, "`power` must be a finite number above 0; got 'law'"),
        ({"random_non_queries": 1}, "`random_non_queries` must be True or False; got 1"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        MQAR(**settings)
