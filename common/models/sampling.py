"""How the next token is chosen of a model's logits.

A sampler is any hashable function `(logits, seed) -> tokens`: logits `(B, V)`, a
`keras.random.SeedGenerator` and integers `(B,)`. It is compiled into the loop of
`common.models.generation`, once for all samplers that are equal.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
from keras import ops

from common.checks import check_numbers, check_positive, given, refuse
from common.typing import Tensor

Sampler = Callable[[Tensor, keras.random.SeedGenerator], Tensor]


@dataclass(frozen=True)
class GreedySampler:
    """The most probable token, the first among equals; nothing is drawn."""

    def __call__(self, logits: Tensor, seed: keras.random.SeedGenerator) -> Tensor:
        """Tokens `(B,)` of logits `(B, V)`."""
        return ops.argmax(logits, axis=-1)


@dataclass(frozen=True)
class RandomSampler:
    """Draws from `softmax(logits / temperature)`, of its most probable tokens if so asked.

    `top_k` is applied before `top_p`, which then is a part of what `top_k` has left. Tokens that
    are as probable as the last one taken are taken too.

    Args:
        temperature: Below 1 for more of the probable tokens, above 1 for fewer.
        top_k: If given, only so many tokens are drawn from, the most probable ones.
        top_p: If given, only the fewest most probable tokens whose probabilities sum to at least
            `top_p` (nucleus sampling, Holtzman et al., 2019).

    Raises:
        ValueError: if `temperature` is not positive, `top_k` no positive integer, or `top_p` not
            above 0 and at most 1.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        check_numbers(self, above=0, temperature=self.temperature)
        check_positive(self, **given(top_k=self.top_k))
        check_numbers(self, above=0, at_most=1, **given(top_p=self.top_p))

    def __call__(self, logits: Tensor, seed: keras.random.SeedGenerator) -> Tensor:
        """Tokens `(B,)` of logits `(B, V)`."""
        return keras.random.categorical(self.restrict(logits), 1, dtype="int32", seed=seed)[:, 0]

    def restrict(self, logits: Tensor) -> Tensor:
        """The logits `(B, V)` that are drawn from, minus infinity where a token is left out."""
        logits = logits / self.temperature
        if self.top_k is not None:
            largest, _ = ops.top_k(logits, min(self.top_k, logits.shape[-1]))
            logits = _at_least(logits, largest[:, -1:])
        if self.top_p is not None:
            falling = ops.flip(ops.sort(logits, axis=-1), axis=-1)
            probabilities = ops.softmax(falling, axis=-1)
            before = ops.cumsum(probabilities, axis=-1) - probabilities
            # The first is taken however small `top_p`: before it is nothing.
            taken = ops.where(before < self.top_p, falling, falling[:, :1])
            logits = _at_least(logits, ops.min(taken, axis=-1, keepdims=True))
        return logits


SAMPLERS: dict[str, Sampler] = {"greedy": GreedySampler(), "random": RandomSampler()}


def get_sampler(owner: object, sampler: str | Sampler) -> Sampler:
    """The sampler of this name, or `sampler` itself; an error names `owner`'s class."""
    found = SAMPLERS.get(sampler) if isinstance(sampler, str) else sampler
    if not callable(found) or isinstance(found, type):
        refuse(owner, "sampler", f"one of {tuple(SAMPLERS)} or a sampler", sampler)
    return found


def _at_least(logits: Tensor, least: Tensor) -> Tensor:
    return ops.where(logits < least, ops.cast(float("-inf"), logits.dtype), logits)
