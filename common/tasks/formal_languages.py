"""Formal languages: the parity of bits, and arithmetic modulo a number."""

from dataclasses import dataclass

import numpy as np

from common.checks import check_flags, check_integers
from common.tasks.task import Arrays, Task

# Tokens; numbers follow the signs, or the brackets where there are some.
PAD, PLUS, MINUS, TIMES, EQUALS, OPEN, CLOSE = range(7)


@dataclass(frozen=True)
class Parity(Task):
    """Random bits; after the last one, whether the number of ones is odd.

    Deletang et al. 2023, in the form of Beck et al. 2024 (xLSTM) and of their `parity.py`: n is
    uniform from `min_length` to `max_length` and counts the answer, so there are n - 1 bits. The
    authors predict the next token, so the answer is asked for at the last bit, and that alone is
    scored. They pad to a context of 256 in training too; what follows the answer can't matter to
    a causal model. A batch holds:

    - `"inputs"`: int32 `(B, max_length)`: 1 is a zero, 2 a one, 0 pads on the right.
    - `"targets"`: int32 `(B, max_length)`, 1 or 2 at the last bit, 0 elsewhere.
    - `"weights"`: float32 `(B, max_length)`, 1 at the last bit.

    Args:
        min_length: Smallest n, at least 2. The paper trains with n from 3 to 40 and tests with
            another instance, n from 40 to 256.
        max_length: Largest n.

    Raises:
        ValueError: if an argument is out of range.
    """

    min_length: int = 3
    max_length: int = 40

    def __post_init__(self) -> None:
        check_integers(self, 2, min_length=self.min_length)
        check_integers(self, self.min_length, max_length=self.max_length)

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens, the padding included."""
        return 3

    @property
    def chance(self) -> float:
        """Accuracy of guessing, which scaled accuracy maps to 0."""
        return 0.5

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        n = rng.integers(self.min_length, self.max_length, size=(batch_size, 1), endpoint=True)
        bits = rng.integers(2, size=(batch_size, self.max_length), dtype=np.int32)
        shown = np.arange(self.max_length) < n - 1
        parity = (bits * shown).sum(axis=1) % 2
        return _answer_after((bits + 1) * shown, n[:, 0] - 1, parity + 1)


@dataclass(frozen=True)
class ModularArithmetic(Task):
    """An expression and an equals sign, at which the value modulo `modulus` is to be named.

    Deletang et al. 2023, in the form of Beck et al. 2024 (xLSTM) and of their
    `modular_arithmetic.py`. Without brackets, numbers and operators alternate and `*` binds
    tighter than `+` and `-`; n counts the equals sign and the answer, is odd and uniform between
    the bounds, each lowered by one if it is even. (So the paper's test, from 40 to 256, has
    n from 39 to 255.)

    With brackets, as in `modular_arithmetic_with_brackets.py` of Grazzi et al. 2024: an
    expression of up to 4 tokens is `d`, `-d`, `(d)` or `(-d)` with a random number d, a longer
    one `(l+r)`, `(l-r)` or `(l*r)` with expressions l and r, the length of l uniform. n is
    uniform between the bounds and counts equals sign, answer and one token of padding; where it
    is below 5, 5 is taken. (Beck et al. did not publish theirs. In Grazzi et al.,
    table 3 has products; a column of table 5 is without, `multiplication=False`.)

    Answers are not evenly distributed: products are 0 more often. A batch holds:

    - `"inputs"`: int32 `(B, max_length)`: 1 to 4 are `+`, `-`, `*` and `=`, with brackets
      5 and 6 are `(` and `)`; the last `modulus` tokens are the numbers; 0 pads on the right.
    - `"targets"`: int32 `(B, max_length)`, the number at the equals sign, 0 elsewhere.
    - `"weights"`: float32 `(B, max_length)`, 1 at the equals sign.

    Args:
        min_length: Smallest n, at least 3. The paper trains with n from 3 to 40 and tests with
            another instance, n from 40 to 256.
        max_length: Largest n.
        brackets: Whether expressions have brackets.
        modulus: The modulus; numbers are below it.
        multiplication: Whether `*` occurs.

    Raises:
        ValueError: if an argument is out of range.
    """

    min_length: int = 3
    max_length: int = 40
    brackets: bool = False
    modulus: int = 5
    multiplication: bool = True

    def __post_init__(self) -> None:
        check_integers(self, 3, min_length=self.min_length)
        check_integers(self, self.min_length, max_length=self.max_length)
        check_integers(self, 2, modulus=self.modulus)
        check_flags(self, brackets=self.brackets, multiplication=self.multiplication)

    @property
    def first_number(self) -> int:
        """The token of the number 0."""
        return CLOSE + 1 if self.brackets else EQUALS + 1

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens, the padding included."""
        return self.first_number + self.modulus

    @property
    def chance(self) -> float:
        """Accuracy of guessing, which scaled accuracy maps to 0."""
        return 1 / self.modulus

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        make = self._bracketed if self.brackets else self._alternating
        inputs, length, value = make(rng, batch_size)
        inputs[np.arange(batch_size), length] = EQUALS
        return _answer_after(inputs, length + 1, self.first_number + value)

    def _operators(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.integers(PLUS, TIMES, size=shape, endpoint=self.multiplication)

    def _alternating(self, rng: np.random.Generator, batch_size: int) -> tuple[np.ndarray, ...]:
        """Expressions without brackets, int32 `(B, max_length)`, their lengths and values."""
        low, high = (self.min_length + 1) // 2 - 1, (self.max_length + 1) // 2 - 1
        count = rng.integers(low, high, size=(batch_size, 1), endpoint=True)  # of numbers
        # Nothing is added to the value by what stands behind the last number.
        shown = np.arange(high) < count
        numbers = rng.integers(self.modulus, size=(batch_size, high)) * shown
        operators = self._operators(rng, (batch_size, high))
        operators[:, 1:][~shown[:, 1:]] = PLUS
        total, term = np.zeros_like(numbers[:, 0]), numbers[:, 0]
        for number, operator in zip(numbers.T[1:], operators.T[1:], strict=True):
            times = operator == TIMES
            total = np.where(times, total, total + term)
            term = np.where(times, term * number % self.modulus, number)
            term = np.where(operator == MINUS, -term, term)
        inputs = np.zeros((batch_size, self.max_length), np.int32)
        inputs[:, 0 : 2 * high : 2] = (numbers + self.first_number) * shown
        inputs[:, 1 : 2 * high - 1 : 2] = operators[:, 1:] * shown[:, 1:]
        return inputs, 2 * count[:, 0] - 1, (total + term) % self.modulus

    def _bracketed(self, rng: np.random.Generator, batch_size: int) -> tuple[np.ndarray, ...]:
        """Expressions with brackets, int32 `(B, max_length)`, their lengths and values."""
        n = rng.integers(self.min_length, self.max_length, size=batch_size, endpoint=True)
        whole = np.maximum(n, 5) - 3
        inputs = np.zeros((batch_size, self.max_length), np.int32)
        # Level by level, all subexpressions of a depth at once: where they stand, how long.
        row, start, length = np.arange(batch_size), np.zeros_like(whole), whole
        levels = []
        while len(row):
            inner, closed, last = length > 4, length > 2, start + length - 1
            inputs[row[closed], start[closed]] = OPEN
            inputs[row[closed], last[closed]] = CLOSE

            negative, place = length % 2 == 0, last - closed
            number = rng.integers(self.modulus, size=len(row))
            leaf = ~inner
            inputs[row[leaf], place[leaf]] = self.first_number + number[leaf]
            signed = leaf & negative
            inputs[row[signed], place[signed] - 1] = MINUS

            left = 1 + rng.integers(np.maximum(length - 4, 1))
            right, middle = length - 3 - left, start + 1 + left
            operator = self._operators(rng, row.shape)
            inputs[row[inner], middle[inner]] = operator[inner]
            levels.append((inner, operator[inner], np.where(negative, -number, number)))
            row = np.concatenate([row[inner], row[inner]])
            start = np.concatenate([start[inner] + 1, middle[inner] + 1])
            length = np.concatenate([left[inner], right[inner]])
        below = np.zeros(0, np.int64)
        for inner, operator, value in reversed(levels):
            x, y = np.split(below, 2)
            signs = [operator == PLUS, operator == MINUS]
            value[inner] = np.select(signs, [x + y, x - y], default=x * y)
            below = value % self.modulus
        return inputs, whole, below


def _answer_after(inputs: np.ndarray, length: np.ndarray, answer: np.ndarray) -> Arrays:
    """Arrays of a batch whose last shown step, `length - 1`, is the one that counts."""
    rows = np.arange(len(inputs))
    targets = np.zeros(inputs.shape, np.int32)
    weights = np.zeros(inputs.shape, np.float32)
    targets[rows, length - 1] = answer
    weights[rows, length - 1] = 1.0
    return {"inputs": inputs.astype(np.int32), "targets": targets, "weights": weights}
