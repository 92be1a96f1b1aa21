"""`CausalLM`: models from tokens to logits of the next one, which generate text."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from common.models.sequence_model import SequenceModel
from common.typing import State, Tensor


class CausalLM(SequenceModel):
    """Base of models from tokens `(B, T)` to logits `(B, T, vocabulary_size)` of the next tokens.

    A subclass sets `vocabulary_size`, and `max_positions` where it knows only so many.

    Args:
        **kwargs: Arguments of `SequenceModel`.
    """

    vocabulary_size: int
    # Tokens that a sequence has at most; 0 if there is no bound.
    max_positions: int = 0

    def prefill(self, inputs: Tensor, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """The last step's logits, and the state after it.

        Args:
            inputs: Integers `(B, T)`.
            mask: `(B, T)` bool; false where a step is padding, which the last one is not.

        Returns:
            `(logits, state)`, the logits `(B, vocabulary_size)`.
        """
        logits, state = self(inputs, mask=mask, training=False, return_state=True)
        return logits[:, -1], state

    def generate(
        self,
        prompt: Tensor | Sequence[Sequence[int]],
        max_new_tokens: int,
        sampler: str | Callable = "greedy",
        seed: int | None = None,
        stop: int | Sequence[int] | None = None,
        mask: Tensor | None = None,
    ) -> np.ndarray:
        """Goes on from prompts, without dropout.

        The prompts go through the model in one call, padded on the left, and the new tokens through
        `step`, in a loop that reads the present weights. The loop is compiled once for a batch size
        and a sampler, the call once for a batch size and each power of two of lengths; on torch,
        and with `run_eagerly`, nothing is.

        Args:
            prompt: Integers `(B, T)`, or a list of B lists of integers, of any lengths.
            max_new_tokens: How many tokens are made at most.
            sampler: `"greedy"`, `"random"` or a sampler of `common.models.sampling`, such as
                `RandomSampler(temperature=0.8, top_p=0.9)`.
            seed: Of what a sampler draws: with the same seed and prompts the same tokens, by
                `stream` too. `None` for other ones each time.
            stop: A token or tokens that end a sequence. It stands at the sequence's end and is
                repeated while others go on.
            mask: `(B, T)` bool beside a prompt `(B, T)`; false where a token is padding.

        Returns:
            The new tokens alone, a NumPy array `(B, N)` int32. N is `max_new_tokens`, or less
            where all sequences have stopped.

        Raises:
            ValueError: if a prompt is empty or all masked, a token of `prompt` or `stop` is not in
                the vocabulary, `max_new_tokens` or `seed` is no such integer or leads beyond
                `max_positions`, `sampler` is unknown, or `mask` has another shape than the prompt.
        """
        return _generation().generate(self, prompt, max_new_tokens, sampler, seed, stop, mask)

    def stream(
        self,
        prompt: Tensor | Sequence[Sequence[int]],
        max_new_tokens: int,
        sampler: str | Callable = "greedy",
        seed: int | None = None,
        stop: int | Sequence[int] | None = None,
        mask: Tensor | None = None,
    ) -> Iterator[np.ndarray]:
        """Iterates over the columns `(B,)` of what `generate` returns, each as it is made.

        Args and errors are those of `generate`, which is faster, as here the state is copied for
        every token.
        """
        return _generation().stream(self, prompt, max_new_tokens, sampler, seed, stop, mask)


def _generation() -> Any:
    # By name, so that it is no part of the code of runs, which generate nothing.
    return importlib.import_module("common.models.generation")
