"""Recall and memory in the forms of MAD (Poli et al. 2024); selective copying has its own file."""

import functools
from dataclasses import dataclass

import numpy as np

from common.checks import check_integers, check_numbers, refuse
from common.tasks.task import Arrays, Task


@dataclass(frozen=True)
class MADRecall(Task):
    """Pairs of a key and a value; where a key comes again, its value is to be named.

    Poli et al. 2024, in-context recall, and with noise noisy in-context recall, with many queries,
    as in `mad/data/instances.py`: every example has a map of its own from keys to values, both
    drawn at random. With probability `noise` a pair is two noise tokens instead, but for one pair
    at least. The last pair asks for a key that was there. As in the authors' code, in training
    every next token counts. A batch holds:

    - `"inputs"`: int32 `(B, length - 1)`. Keys are the first half of the tokens that are no noise,
      values the second, noise comes after them.
    - `"targets"`: int32 `(B, length - 1)`, the next tokens.
    - `"weights"`: float32 `(B, length - 1)`, ones in training, else 1 where a value is next whose
      key was there before.

    Args:
        vocabulary_size: Number of tokens, those of noise included.
        length: Steps of the pairs, even.
        noise_tokens: How many of the tokens are noise.
        noise: Share of noise, below 1; above 0 it needs noise tokens.

    Raises:
        ValueError: if an argument is out of range.
    """

    vocabulary_size: int = 16
    length: int = 128
    noise_tokens: int = 0
    noise: float = 0.0

    def __post_init__(self) -> None:
        check_integers(self, 0, noise_tokens=self.noise_tokens)
        check_integers(self, self.noise_tokens + 2, vocabulary_size=self.vocabulary_size)
        check_integers(self, 4, length=self.length)
        check_numbers(self, at_least=0, below=1, noise=self.noise)
        if self.length % 2:
            refuse(self, "length", "even", self.length)
        if self.noise and not self.noise_tokens:
            refuse(self, "noise_tokens", "positive where there is noise", self.noise_tokens)

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        pairs, tokens = self.length // 2, self.vocabulary_size - self.noise_tokens
        rows, num_keys = np.arange(batch_size), tokens // 2
        keys = rng.integers(num_keys, size=(batch_size, pairs))
        values = rng.integers(num_keys, tokens, size=(batch_size, num_keys))
        noisy = rng.random((batch_size, pairs)) < self.noise
        noisy[rows, rng.integers(pairs - 1, size=batch_size)] = False
        # The last pair asks for one of the keys that were there, each as likely.
        noisy[:, -1] = True
        there = np.zeros((batch_size, num_keys), bool)
        there[np.nonzero(~noisy)[0], keys[~noisy]] = True
        keys[:, -1] = (rng.random(there.shape) * there).argmax(axis=1)
        noisy[:, -1] = False

        drawn = np.stack([keys, np.take_along_axis(values, keys, axis=1)], axis=-1)
        noise = rng.integers(tokens, max(tokens + 1, self.vocabulary_size), size=drawn.shape)
        drawn = np.where(noisy[..., None], noise, drawn)
        again = (
            (keys[:, :, None] == keys[:, None, :])
            & ~noisy[:, None, :]
            & np.tri(pairs, k=-1, dtype=bool)
        )
        asked = again.any(axis=2) & ~noisy
        scored = np.stack([np.zeros_like(asked), asked], axis=-1)
        return _next_tokens(drawn.reshape(batch_size, -1), scored.reshape(batch_size, -1), split)


@dataclass(frozen=True)
class MADFuzzyRecall(Task):
    """Recall where keys and values are one to so many tokens each.

    Poli et al. 2024, fuzzy in-context recall, with many queries, as in `mad/data/instances.py`: a
    key is an ordered choice of distinct tokens, and so is a value. In training the keys have one
    to `motif` tokens, else always `motif`; values have one to `motif` in both. Pairs are drawn
    until less than the longest pair and the last one fit; the last one asks for a key that is put
    in at a random place before, and padding fills up in front. Quirks of the authors' code, kept:
    a key of few tokens may be the beginning of another, and the place may lie so late that the
    last key was not there. In training every next token counts, padding too. A batch holds:

    - `"inputs"`: int32 `(B, length)`. Keys are made of the first half of the tokens but one, values
      of the second, and the last token is padding.
    - `"targets"`: int32 `(B, length)`, the next tokens.
    - `"weights"`: float32 `(B, length)`, ones in training, else 1 where a token of a value is next
      whose key was there before.

    Args:
        vocabulary_size: Number of tokens, padding included; keys and values need `motif` each.
        length: Steps.
        motif: Tokens of a key or a value at most.

    Raises:
        ValueError: if an argument is out of range.
    """

    vocabulary_size: int = 16
    length: int = 128
    motif: int = 3

    def __post_init__(self) -> None:
        check_integers(self, 1, motif=self.motif)
        check_integers(self, 2 * self.motif + 1, vocabulary_size=self.vocabulary_size)
        check_integers(self, 6 * self.motif + 1, length=self.length)

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        padding = self.vocabulary_size - 1
        tokens = np.full((batch_size, self.length + 1), padding, np.int32)
        scored = np.zeros(tokens.shape, bool)
        for row in range(batch_size):
            found, asked = self._example(rng, split == "train")
            tokens[row, -len(found) :] = found
            scored[row, -len(found) :] = asked
        return _next_tokens(tokens, scored, split)

    def _example(self, rng: np.random.Generator, training: bool) -> tuple[list[int], list[bool]]:
        """The tokens of one example, and which of them are asked for."""
        num_keys = (self.vocabulary_size - 1) // 2
        pairs = self.length // 2 + 2  # one has two tokens at least
        orders = rng.random((pairs, num_keys)).argsort(axis=1)
        others = rng.random((pairs, self.vocabulary_size - 1 - num_keys)).argsort(axis=1) + num_keys
        sizes = rng.integers(1, self.motif + 1, size=(pairs, 2))
        if not training:
            sizes[:, 0] = self.motif
        keys = [
            tuple(order[:size])
            for order, size in zip(orders.tolist(), sizes[:, 0].tolist(), strict=True)
        ]
        values = [
            tuple(order[:size])
            for order, size in zip(others.tolist(), sizes[:, 1].tolist(), strict=True)
        ]
        probe = keys.pop(), values.pop()
        probe_size = len(probe[0]) + len(probe[1])
        place = rng.integers(self.length - 2 * probe_size)

        found: list[int] = []
        asked: list[bool] = []
        known: dict[tuple[int, ...], tuple[int, ...]] = {}
        put_in = False
        while len(found) < self.length - probe_size - 2 * self.motif:
            key, value = keys.pop(), values.pop()
            if len(found) >= place and not put_in:
                key, value = probe
            if key == probe[0]:
                put_in = True
                value = probe[1]
            there = key in known
            value = known.setdefault(key, value)
            found += [*key, *value]
            asked += [False] * len(key) + [there] * len(value)
        found += [*probe[0], *probe[1]]
        asked += [False] * len(probe[0]) + [True] * len(probe[1])
        return found, asked


@dataclass(frozen=True)
class MADMemorization(Task):
    """Keys, each followed by a token that asks for its value, in a map that is always the same.

    Poli et al. 2024, memorization, as in `mad/data/instances.py`: what is to be named is not in
    the sequence, it is learned. A batch holds:

    - `"inputs"`: int32 `(B, length)`, a key and the last token in turns.
    - `"targets"`: int32 `(B, length)`, the value at the steps that ask, 0 elsewhere.
    - `"weights"`: float32 `(B, length)`, 1 at the steps that ask.

    Args:
        vocabulary_size: Number of tokens: of the others than the last the first half are keys.
        length: Steps, even.
        map_seed: Of the map from keys to values; that of the authors by default.

    Raises:
        ValueError: if an argument is out of range.
    """

    vocabulary_size: int = 256
    length: int = 32
    map_seed: int = 12345

    def __post_init__(self) -> None:
        check_integers(self, 3, vocabulary_size=self.vocabulary_size)
        check_integers(self, 2, length=self.length)
        check_integers(self, 0, map_seed=self.map_seed)
        if self.length % 2:
            refuse(self, "length", "even", self.length)

    def sample(self, rng: np.random.Generator, batch_size: int, split: str) -> Arrays:
        values = _fixed_map(self.vocabulary_size - 1, self.map_seed)
        keys = rng.integers(len(values), size=(batch_size, self.length // 2))
        inputs = np.full((batch_size, self.length), self.vocabulary_size - 1, np.int32)
        targets = np.zeros_like(inputs)
        weights = np.zeros(inputs.shape, np.float32)
        inputs[:, ::2] = keys
        targets[:, 1::2] = values[keys]
        weights[:, 1::2] = 1
        return {"inputs": inputs, "targets": targets, "weights": weights}


@functools.lru_cache(maxsize=4)
def _fixed_map(tokens: int, seed: int) -> np.ndarray:
    """The value of every key, int64, as the authors' code pairs them: both shuffled."""
    rng = np.random.default_rng(seed)
    keys, values = list(range(tokens // 2)), list(range(tokens // 2, tokens))
    rng.shuffle(keys)
    rng.shuffle(values)
    found = np.zeros(len(keys), np.int64)
    found[keys] = values[: len(keys)]
    found.setflags(write=False)
    return found


def _next_tokens(tokens: np.ndarray, scored: np.ndarray, split: str) -> Arrays:
    """Every token from those before it; all count in training, else those that are scored."""
    weights = np.ones_like(scored) if split == "train" else scored
    tokens = tokens.astype(np.int32)
    return {
        "inputs": tokens[:, :-1],
        "targets": tokens[:, 1:],
        "weights": weights[:, 1:].astype(np.float32),
    }
