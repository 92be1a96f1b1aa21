import ast
import operator

import numpy as np
import pytest

from common.tasks import ModularArithmetic, Parity

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


def evaluate(expression):
    """The value of an expression as Python's own parser reads it."""

    def value(node):
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp):
            assert isinstance(node.op, ast.USub)
            return -value(node.operand)
        return node.value

    return value(ast.parse(expression, mode="eval").body)


def depth(expression):
    """Most brackets that are open at once."""
    opened = np.cumsum([{"(": 1, ")": -1}.get(token, 0) for token in expression])
    return int(opened.max())


def examples(task, size, seed=0):
    """Each example as text before the equals sign, answer and number of scored steps."""
    signs = ["", "+", "-", "*", "="] + ["(", ")"] * task.brackets
    names = signs + [str(number) for number in range(task.modulus)]
    batch = task.batch(size, seed, 0)
    assert batch["inputs"].shape == (size, task.max_length)
    for inputs, targets, weights in zip(*batch.values(), strict=True):
        equals = int(np.flatnonzero(weights).item())
        assert names[inputs[equals]] == "="
        np.testing.assert_array_equal(inputs[equals + 1 :], 0)
        np.testing.assert_array_equal(np.delete(targets, equals), 0)
        tokens = [names[token] for token in inputs[:equals]]
        assert "=" not in tokens
        assert "" not in tokens
        yield tokens, int(names[targets[equals]])


def test_parity_of_the_bits():
    task = Parity(min_length=3, max_length=9)
    batch = task.batch(500, 0, 0)
    counts = []
    for inputs, targets, weights in zip(*batch.values(), strict=True):
        count = int(np.count_nonzero(inputs))
        counts.append(count)
        assert set(inputs[:count]) <= {1, 2}
        np.testing.assert_array_equal(inputs[count:], np.zeros(9 - count))
        ones = list(inputs).count(2)
        np.testing.assert_array_equal(np.flatnonzero(weights), [count - 1])
        np.testing.assert_array_equal(np.flatnonzero(targets), [count - 1])
        assert targets[count - 1] == (2 if ones % 2 else 1)
    assert set(counts) == set(range(2, 9))  # n, with the answer, from 3 to 9


def test_parity_draws_lengths_and_bits_evenly():
    batch = Parity(min_length=3, max_length=7).batch(20_000, 0, 0)
    counts = np.bincount(np.count_nonzero(batch["inputs"], axis=1))
    np.testing.assert_allclose(counts / 20_000, [0, 0] + [0.2] * 5, atol=0.015)
    frequency = np.bincount(batch["inputs"][batch["inputs"] > 0])
    np.testing.assert_allclose(frequency / frequency.sum(), [0, 0.5, 0.5], atol=0.01)
    answers = np.bincount(batch["targets"].max(axis=1)) / 20_000
    np.testing.assert_allclose(answers, [0, Parity().chance, Parity().chance], atol=0.015)


def test_parity_of_one_bit_is_the_bit():
    batch = Parity(min_length=2, max_length=2).batch(50, 0, 0)
    np.testing.assert_array_equal(batch["targets"], batch["inputs"])
    np.testing.assert_array_equal(batch["weights"], [[1, 0]] * 50)


@pytest.mark.parametrize("modulus", [5, 7])
@pytest.mark.parametrize("multiplication", [False, True])
def test_expressions_without_brackets(modulus, multiplication):
    task = ModularArithmetic(max_length=21, modulus=modulus, multiplication=multiplication)
    assert task.vocabulary_size == 5 + modulus
    signs = set()
    for tokens, answer in examples(task, 500):
        assert len(tokens) % 2 == 1
        assert all(token.isdigit() for token in tokens[0::2])
        signs.update(tokens[1::2])
        assert evaluate("".join(tokens)) % modulus == answer
    assert signs == (set("+-*") if multiplication else set("+-"))


@pytest.mark.parametrize("modulus", [5, 7])
@pytest.mark.parametrize("multiplication", [False, True])
def test_expressions_with_brackets(modulus, multiplication):
    task = ModularArithmetic(
        max_length=30, brackets=True, modulus=modulus, multiplication=multiplication
    )
    assert task.vocabulary_size == 7 + modulus
    deepest = 0
    for tokens, answer in examples(task, 500):
        assert evaluate("".join(tokens)) % modulus == answer
        assert ("*" in tokens) <= multiplication
        deepest = max(deepest, depth(tokens))
    assert deepest >= 5


@pytest.mark.parametrize(
    ("settings", "lengths"),
    [
        # Without brackets, n is odd, and two of it are the equals sign and the answer.
        ({"min_length": 3, "max_length": 12}, range(1, 10, 2)),
        ({"min_length": 6, "max_length": 9}, [3, 5, 7]),
        # With brackets, a token of padding belongs to n too, and n is at least 5.
        ({"min_length": 6, "max_length": 9, "brackets": True}, [3, 4, 5, 6]),
    ],
)
def test_lengths_are_uniform(settings, lengths):
    found = [len(tokens) for tokens, _ in examples(ModularArithmetic(**settings), 10_000)]
    expected = np.zeros(max(lengths) + 1)
    expected[list(lengths)] = 1 / len(lengths)
    np.testing.assert_allclose(np.bincount(found) / 10_000, expected, atol=0.02)


def test_short_lengths_with_brackets():
    task = ModularArithmetic(min_length=3, max_length=7, brackets=True)
    texts = ["".join(tokens) for tokens, _ in examples(task, 2000)]
    expected = [f"-{d}" for d in range(5)] + [f"({d})" for d in range(5)]
    expected += [f"(-{d})" for d in range(5)]
    assert set(texts) == set(expected)
    # Of the five lengths, those of 3, 4 and 5 are all taken for 5.
    assert np.mean([len(text) == 2 for text in texts]) == pytest.approx(0.6, abs=0.04)


def test_an_expression_with_brackets_is_split_anywhere():
    # Eight tokens: three for brackets and operator, so 1 to 4 are left for the left side.
    task = ModularArithmetic(min_length=11, max_length=11, brackets=True)
    lefts, signs = [], []
    for tokens, _ in examples(task, 10_000):
        assert len(tokens) == 8
        assert (tokens[0], tokens[-1]) == ("(", ")")
        root = ast.parse("".join(tokens), mode="eval").body
        assert isinstance(root, ast.BinOp)
        lefts.append(len(ast.unparse(root.left)) + 2 * (tokens[1] == "("))
        signs.append(type(root.op))
    np.testing.assert_allclose(np.bincount(lefts) / 10_000, [0] + [0.25] * 4, atol=0.02)
    for sign in OPERATORS:
        assert signs.count(sign) / 10_000 == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize("brackets", [False, True])
def test_lengths_of_the_papers_test_set(brackets):
    task = ModularArithmetic(min_length=40, max_length=256, brackets=brackets)
    lengths = []
    for tokens, answer in examples(task, 300):
        lengths.append(len(tokens))
        assert evaluate("".join(tokens)) % 5 == answer
    assert 37 <= min(lengths) < 60
    assert 240 < max(lengths) <= 253


def test_sums_are_evenly_distributed_over_the_numbers():
    task = ModularArithmetic(max_length=20, multiplication=False)
    answers = [answer for _, answer in examples(task, 10_000)]
    np.testing.assert_allclose(np.bincount(answers) / 10_000, np.full(5, task.chance), atol=0.02)


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (Parity, {"min_length": 1}, "`min_length` must be an integer of .* 2; got 1"),
        (
            Parity,
            {"min_length": 5, "max_length": 4},
            "`max_length` must be an integer of at least 5",
        ),
        (
            ModularArithmetic,
            {"min_length": 2},
            "`min_length` must be an integer of .* 3; got 2",
        ),
        (
            ModularArithmetic,
            {"max_length": 2},
            "`max_length` must be an integer of .* 3; got 2",
        ),
        (ModularArithmetic, {"modulus": 1}, "`modulus` must be an integer of .* 2; got 1"),
        (ModularArithmetic, {"brackets": 1}, "`brackets` must be True or False; got 1"),
        (ModularArithmetic, {"multiplication": None}, "`multiplication` must be True or False"),
    ],
)
def test_bad_settings(make, settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)
