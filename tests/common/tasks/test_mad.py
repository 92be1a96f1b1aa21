import numpy as np
import pytest

from common.tasks.mad import MADFuzzyRecall, MADMemorization, MADRecall


def pairs(batch):
    """The keys, the values and whether these are scored, each `(B, P)`, of `MADRecall`."""
    tokens = np.concatenate([batch["inputs"], batch["targets"][:, -1:]], axis=1)
    np.testing.assert_array_equal(tokens[:, 1:], batch["targets"])
    assert not batch["weights"][:, 1::2].any()  # no key is scored
    return tokens[:, ::2], tokens[:, 1::2], batch["weights"][:, ::2] > 0


@pytest.mark.parametrize("noise", [0.0, 0.6])
def test_recall_asks_for_the_values_of_keys_that_were_there(noise):
    task = MADRecall(vocabulary_size=20, length=30, noise_tokens=6, noise=noise)
    for keys, values, scored in zip(*pairs(task.batch(300, 0, 0, "test")), strict=True):
        known = {}
        for key, value, asked in zip(keys.tolist(), values.tolist(), scored, strict=True):
            if key >= 14:
                assert noise and 14 <= value < 20 and not asked
                continue
            assert key < 7 and 7 <= value < 14
            assert asked == (key in known)
            assert known.setdefault(key, value) == value
        assert scored[-1]


def test_recall_draws_as_the_authors_do():
    keys, _, scored = pairs(MADRecall().batch(2000, 0, 0, "test"))
    # Of 8 keys 63 pairs show 8 (1 - (7 / 8) ** 63); all others are asked for, and the last one.
    np.testing.assert_allclose(scored.sum(axis=1).mean(), 64 - 8 * (1 - 0.875**63), atol=0.01)
    np.testing.assert_allclose(np.bincount(keys[:, -1]) / 2000, np.full(8, 1 / 8), atol=0.03)
    noisy, _, _ = pairs(MADRecall(32, 128, 16, 0.2).batch(2000, 0, 0, "test"))
    # One of the 63 is no noise, the others with a probability of 0.2.
    np.testing.assert_allclose((noisy[:, :-1] >= 16).mean(), 0.2 * 62 / 63, atol=0.005)


def test_in_training_every_token_counts():
    for task in (MADRecall(length=10), MADFuzzyRecall(length=30)):
        assert task.batch(5, 0, 0)["weights"].all()
        assert not task.batch(5, 0, 0, "validation")["weights"].all()


def motifs(tokens, first_value):
    """Keys and values, tuples, of a row of `MADFuzzyRecall`, and where the values begin."""
    found, start = [], 0
    while start < len(tokens):
        middle = start
        while tokens[middle] < first_value:
            middle += 1
        end = middle
        while end < len(tokens) and tokens[end] >= first_value:
            end += 1
        found.append((tuple(tokens[start:middle]), tuple(tokens[middle:end]), middle))
        start = end
    return found


def test_fuzzy_recall_asks_for_the_values_of_keys_that_were_there():
    batch = MADFuzzyRecall(vocabulary_size=9, length=40, motif=2).batch(400, 0, 0, "test")
    inputs, targets, weights = batch.values()
    there = 0
    for row in range(400):
        tokens = [*inputs[row].tolist(), int(targets[row, -1])]
        front = next(i for i, token in enumerate(tokens) if token != 8)
        assert 8 not in tokens[front:]  # padding is in front only
        scored = np.append(False, weights[row] > 0)
        known = {}
        for key, value, place in motifs(tokens[front:], first_value=4):
            assert len(key) == len(set(key)) == 2 and 1 <= len(value) == len(set(value)) <= 2
            at = slice(front + place, front + place + len(value))
            last = at.stop == len(tokens)
            assert scored[at].all() == scored[at].any() == (key in known or last)
            there += last and key in known
            assert known.setdefault(key, value) == value
        assert scored.sum() >= len(value)
    assert there > 380  # but for those whose place came too late


def test_fuzzy_keys_have_one_to_three_tokens_in_training_alone():
    task = MADFuzzyRecall()
    for split, sizes in (("train", {1, 2, 3}), ("test", {3})):
        batch = task.batch(50, 0, 0, split)
        found = set()
        for row in batch["inputs"].tolist():
            front = next(i for i, token in enumerate(row) if token != 15)
            whole = row[front : max(i for i, token in enumerate(row) if token >= 7) + 1]
            found |= {len(key) for key, _, _ in motifs(whole, first_value=7)}
        assert found == sizes


def test_memorization_has_the_authors_map():
    batch = MADMemorization().batch(200, 0, 0)
    keys, values = batch["inputs"][:, ::2], batch["targets"][:, 1::2]
    np.testing.assert_array_equal(batch["inputs"][:, 1::2], 255)
    np.testing.assert_array_equal(batch["weights"], np.tile([0, 1], (200, 16)))
    pairs = set(zip(keys.ravel().tolist(), values.ravel().tolist(), strict=True))
    assert len(pairs) == 127 and {value for _, value in pairs} <= set(range(127, 255))
    # From `generate_kv_map(255)` of their code.
    assert {(0, 239), (1, 241), (2, 146), (3, 166), (4, 182), (5, 213)} <= pairs


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (MADRecall, {"length": 7}, "`length` must be even; got 7"),
        (MADRecall, {"noise": 1.0}, "`noise` must be a finite number"),
        (MADRecall, {"noise": 0.2}, "`noise_tokens` must be positive where there is noise; got 0"),
        (MADRecall, {"noise_tokens": 15}, "`vocabulary_size` must be an integer of at least 17"),
        (MADFuzzyRecall, {"motif": 8}, "`vocabulary_size` must be an integer of at least 17"),
        (MADFuzzyRecall, {"length": 18}, "`length` must be an integer of at least 19; got 18"),
        (MADMemorization, {"length": 3}, "`length` must be even; got 3"),
        (MADMemorization, {"map_seed": -1}, "`map_seed` must be"),
    ],
)
def test_bad_settings(make, settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)
