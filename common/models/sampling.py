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
        probabilities = ops.softmax(self.restrict(logits), axis=-1)
        # One number a sequence: XLA takes 40 ms on a CPU to draw one for each of 50,000 tokens.
        total = ops.cumsum(probabilities, axis=-1)
        # However sums are rounded, a token that is left out is not drawn.
        total = ops.where(probabilities > 0, total, 0)
        number = keras.random.uniform((ops.shape(logits)[0], 1), dtype=total.dtype, seed=seed)
        number = number * ops.max(total, axis=-1, keepdims=True)
        return ops.argmax(total > number, axis=-1)

    def restrict(self, logits: Tensor) -> Tensor:
        """The logits `(B, V)` that are drawn from, minus infinity where a token is left out."""
        logits = logits / self.temperature
        if self.top_k is None and self.top_p is None:
            return logits
        size = logits.shape[-1]
        falling, _ = ops.top_k(logits, size if self.top_k is None else min(self.top_k, size))
        if self.top_p is not None:
            probabilities = ops.softmax(falling, axis=-1)
            before = ops.cumsum(probabilities, axis=-1) - probabilities
            # The first is taken however small `top_p`: before it is nothing.
            falling = ops.where(before < self.top_p, falling, falling[:, :1])
        least = ops.min(falling, axis=-1, keepdims=True)
        return ops.where(logits < least, float("-inf"), logits)


SAMPLERS: dict[str, Sampler] = {"greedy": GreedySampler(), "random": RandomSampler()}


def get_sampler(owner: object, sampler: str | Sampler) -> Sampler:
    """The sampler of this name, or `sampler` itself; an error names `owner`'s class."""
    found = SAMPLERS.get(sampler) if isinstance(sampler, str) else sampler
    if not callable(found) or isinstance(found, type):
        refuse(owner, "sampler", f"one of {tuple(SAMPLERS)} or a sampler", sampler)
    return found
