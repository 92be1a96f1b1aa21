"""Regular languages: every answer found again from the words, as they are read symbol by symbol."""

import itertools

import numpy as np
import pytest

from common.tasks.regular_languages import LANGUAGES, RegularLanguage
from tests.common.tasks.test_formal_languages import evaluate


def words(task, size=400, seed=0):
    """Each example's symbols and answer; what stands around them is checked."""
    batch = task.batch(size, seed, 0)
    assert {name: x.dtype.name for name, x in batch.items()} == {
        "inputs": "int32",
        "targets": "int32",
        "weights": "float32",
    }
    for inputs, targets, weights in zip(*batch.values(), strict=True):
        last = int(np.flatnonzero(weights).item())
        assert weights[last] == 1
        assert (inputs[: last + 1] > 0).all()
        np.testing.assert_array_equal(inputs[last + 1 :], 0)
        np.testing.assert_array_equal(np.delete(targets, last), 0)
        yield [int(symbol) for symbol in inputs[: last + 1]], int(targets[last])


def parity(word):
    return 1 + word.count(2) % 2


def even_pairs(word):
    # An even number of changes between neighbours, as the paper tells it.
    return 1 + sum(a != b for a, b in itertools.pairwise(word)) % 2


def cycle_nav(word):
    return 4 + sum({1: 0, 2: 1, 3: -1}[symbol] for symbol in word) % 5


def mod_arith_no_brack(word):
    assert word[-1] == 4
    text = "".join(" +-*"[s] if s < 4 else str(s - 5) for s in word[:-1])
    return 5 + evaluate(text) % 5


@pytest.mark.parametrize("answer", [parity, even_pairs, cycle_nav, mod_arith_no_brack])
def test_answers(answer):
    task = RegularLanguage(answer.__name__, 3, 12)
    lengths = set()
    answers = set()
    for word, target in words(task):
        assert target == answer(word)
        assert max(word) < task.vocabulary_size > target
        lengths.add(len(word))
        answers.add(target)
    even = answer is mod_arith_no_brack
    assert lengths == (set(range(4, 13, 2)) if even else set(range(3, 13)))
    assert len(answers) == round(1 / task.chance)


def test_lengths_and_symbols_are_drawn_evenly():
    found = list(words(RegularLanguage("cycle_nav", 3, 6), 20_000))
    share = np.bincount([len(word) for word, _ in found])[3:] / 20_000
    np.testing.assert_allclose(share, 1 / 4, atol=0.015)
    symbols = np.concatenate([word for word, _ in found])
    np.testing.assert_allclose(np.bincount(symbols)[1:] / len(symbols), 1 / 3, atol=0.01)


def test_arithmetic_raises_odd_lengths_and_bounds():
    task = RegularLanguage("mod_arith_no_brack", 3, 5)
    assert task.batch(10, 0, 0)["inputs"].shape == (10, 6)
    share = np.bincount([len(word) for word, _ in words(task, 9000)], minlength=7) / 9000
    np.testing.assert_allclose(share[[4, 6]], [2 / 3, 1 / 3], atol=0.02)


@pytest.mark.parametrize("language", LANGUAGES)
def test_splits_and_steps_differ_and_are_drawn_again_the_same(language):
    task = RegularLanguage(language)
    batches = [task.batch(8, 0, 0), task.batch(8, 0, 1), task.batch(8, 0, 0, "validation")]
    again = task.batch(8, 0, 0)
    assert all((again[name] == batches[0][name]).all() for name in again)
    assert len({batch["inputs"].tobytes() for batch in batches}) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"language": "palindromes"}, "`language` must be one of"),
        ({"min_length": 1}, "`min_length` must be an integer of at least 2; got 1"),
        ({"max_length": 2}, "`max_length` must be an integer of at least 3; got 2"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=f"RegularLanguage: {message}"):
        RegularLanguage(**settings)
