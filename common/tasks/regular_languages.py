"""Regular languages: a word, and at its last symbol the state of an automaton that has read it."""

from dataclasses import dataclass

import numpy as np

from common.checks import check_choice, check_integers
from common.tasks.task import Arrays, Task

LANGUAGES = ("cycle_nav", "even_pairs", "mod_arith_no_brack", "parity")

CYCLE = 5
MODULUS = 5
# Tokens of arithmetic; the numbers follow.
PLUS, MINUS, TIMES, EQUALS = range(1, 5)
FIRST_NUMBER = EQUALS + 1


@dataclass(frozen=True)
class RegularLanguage(Task):
    """One of the four regular languages of Deletang et al. 2023, asked at the word's last symbol.

    In the form of Walker et al. 2025 (SLiCE) and of their generators. The length is uniform
    between the bounds:

    - `"cycle_nav"`: steps on a cycle of 5, 1 stays, 2 goes on, 3 goes back, evenly drawn. The
      answer is 4 and the position, counted from where it began.
    - `"even_pairs"`: random letters 1 and 2. The answer is 1 if the first is the last, else 2.
    - `"mod_arith_no_brack"`: numbers modulo 5, 5 to 9, with `+`, `-` or `*`, 1 to 3, between them
      and `=`, 4, at the end; `*` binds tighter. The answer is the value, 5 to 9. An odd length is
      raised by one.
    - `"parity"`: random letters 1 and 2. The answer is 1 if the number of 2 is even, else 2.

    A batch holds, with T `max_length`, made even for arithmetic:

    - `"inputs"`: int32 `(B, T)`; 0 pads on the right.
    - `"targets"`: int32 `(B, T)`, the answer at the last symbol, 0 elsewhere.
    - `"weights"`: float32 `(B, T)`, 1 at the last symbol.

    Args:
        language: One of the four.
        min_length: Smallest length, at least 2. The paper trains with 3 to 40 and evaluates with
            another instance, 40 to 256.
        max_length: Largest length.

    Raises:
        ValueError: if an argument is out of range.
    """

    language: str = "parity"
    min_length: int = 3
    max_length: int = 40

    def __post_init__(self) -> None:
        check_choice(self, LANGUAGES, language=self.language)
        check_integers(self, 2, min_length=self.min_length)
        check_integers(self, self.min_length, max_length=self.max_length)

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens, the padding included."""
        sizes = {"cycle_nav": 4 + CYCLE, "mod_arith_no_brack": FIRST_NUMBER + MODULUS}
        return sizes.get(self.language, 3)

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""
        return {"cycle_nav": 1 / CYCLE, "mod_arith_no_brack": 1 / MODULUS}.get(self.language, 0.5)

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        length = rng.integers(self.min_length, self.max_length, size=batch_size, endpoint=True)
        width = self.max_length
        if self.language == "mod_arith_no_brack":
            length, width = length + length % 2, width + width % 2
        shown = np.arange(width) < length[:, None]
        make = {
            "cycle_nav": _walk,
            "even_pairs": _even_pairs,
            "mod_arith_no_brack": _arithmetic,
            "parity": _parity,
        }[self.language]
        inputs, answer = make(rng, shown, length)
        rows = np.arange(batch_size)
        targets = np.zeros(shown.shape, np.int32)
        weights = np.zeros(shown.shape, np.float32)
        targets[rows, length - 1] = answer
        weights[rows, length - 1] = 1.0
        return {
            "inputs": (inputs * shown).astype(np.int32),
            "targets": targets,
            "weights": weights,
        }


# Each gives symbols of shape `(B, T)`, which count where `shown` is true, and the answers `(B,)`.
Words = tuple[np.ndarray, np.ndarray]


def _walk(rng: np.random.Generator, shown: np.ndarray, length: np.ndarray) -> Words:
    moves = rng.integers(3, size=shown.shape)
    position = np.where(moves == 2, -1, moves) * shown
    return moves + 1, 4 + position.sum(axis=1) % CYCLE


def _even_pairs(rng: np.random.Generator, shown: np.ndarray, length: np.ndarray) -> Words:
    letters = rng.integers(2, size=shown.shape)
    last = letters[np.arange(len(letters)), length - 1]
    return letters + 1, 1 + (letters[:, 0] != last)


def _parity(rng: np.random.Generator, shown: np.ndarray, length: np.ndarray) -> Words:
    letters = rng.integers(2, size=shown.shape)
    return letters + 1, 1 + (letters * shown).sum(axis=1) % 2


def _arithmetic(rng: np.random.Generator, shown: np.ndarray, length: np.ndarray) -> Words:
    batch_size, width = shown.shape
    numbers = rng.integers(MODULUS, size=(batch_size, width // 2))
    operators = rng.integers(PLUS, TIMES, size=(batch_size, width // 2), endpoint=True)
    inputs = np.empty((batch_size, width), np.int64)
    inputs[:, 0::2] = FIRST_NUMBER + numbers
    inputs[:, 1::2] = operators
    inputs[np.arange(batch_size), length - 1] = EQUALS
    # Terms of what is not shown are 0: nothing follows the last number but additions of 0.
    numbers = numbers * shown[:, 0::2]
    between = np.where(shown[:, 2::2], operators[:, :-1], PLUS)
    total, term = np.zeros(batch_size, np.int64), numbers[:, 0]
    for number, operator in zip(numbers.T[1:], between.T, strict=True):
        times = operator == TIMES
        total = np.where(times, total, total + term)
        signed = np.where(operator == MINUS, -number, number)
        term = np.where(times, term * number % MODULUS, signed)
    return inputs, FIRST_NUMBER + (total + term) % MODULUS
