"""Text generation: a prompt in one call of a model, then its steps in a compiled loop."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import keras
import numpy as np
from keras import ops

from common.checks import check_integers, check_positive, given, refuse
from common.models.sampling import Sampler, get_sampler
from common.typing import Tensor

# Tokens that one call of the compiled loop makes at most.
BLOCK = 64
# Where lengths of prompts are compiled, they are padded to powers of two from this one on.
SHORTEST = 16


def generate(model: Any, *arguments: Any) -> np.ndarray:
    """What `CausalLM.generate` returns, of its arguments in their order."""
    return np.concatenate(list(_parts(model, BLOCK, *arguments)), axis=1)


def stream(model: Any, *arguments: Any) -> Iterator[np.ndarray]:
    """What `CausalLM.stream` returns, of its arguments in their order."""
    return (part[:, 0] for part in _parts(model, 1, *arguments))


def _parts(
    model: Any,
    at_once: int,
    prompt: Any,
    max_new_tokens: int,
    sampler: str | Sampler,
    seed: int | None,
    stop: Any,
    mask: Any,
) -> Iterator[np.ndarray]:
    """New tokens in parts of at most `at_once`, `(B, n)` int32, each as soon as it is made."""
    if not model.built:
        model.build((None, None))
    rows = _rows(model, prompt, mask)
    check_positive(model, max_new_tokens=max_new_tokens)
    _check_positions(model, max(map(len, rows)), max_new_tokens)
    sampler = get_sampler(model, sampler)
    check_integers(model, 0, **given(seed=seed))
    stops = _stops(model, stop)
    # What is wrong is said now, not when the first part is asked for.
    return _made(Generator.of(model), at_once, rows, max_new_tokens, sampler, seed, stops)


class Generator:
    """The compiled functions by which a model generates.

    They read the weights that the model has when they are called. `of` makes them anew where it
    has other variables than before, as after `quantize`.

    Args:
        model: A built `CausalLM`.
    """

    def __init__(self, model: Any):
        self.model = model
        self.variables = model.variables
        self.eagerly = _eagerly(model)
        # Carried from token to token by value; this one only stands for it in Keras's functions.
        self.seeds = keras.random.SeedGenerator(0)
        self.prefill = self._compiled(model.prefill)
        # Of the last samplers that were asked for.
        self.loop = lru_cache(maxsize=8)(self._loop)

    @classmethod
    def of(cls, model: Any) -> "Generator":
        """The model's own, kept on it but past Keras, which would track and save what it holds."""
        kept = vars(model).get("_generator")
        if kept is None or not kept.fits(model):
            kept = vars(model)["_generator"] = cls(model)
        return kept

    def fits(self, model: Any) -> bool:
        """Whether this is compiled for what `model` is now."""
        same = [*map(id, self.variables)] == [*map(id, model.variables)]
        return same and self.eagerly == _eagerly(model)

    def left_padded(self, rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Tokens `(B, T)` int32 and their mask, of which the last step is in every row."""
        length = max(map(len, rows))
        if not self.eagerly:
            length = max(SHORTEST, 1 << (length - 1).bit_length())
        tokens = np.zeros((len(rows), length), "int32")
        mask = np.zeros((len(rows), length), bool)
        for i, row in enumerate(rows):
            tokens[i, length - len(row) :] = row
            mask[i, length - len(row) :] = True
        return tokens, mask

    def draw(self, sampler: Sampler, logits: Tensor, seed: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens `(B,)` int32 of logits `(B, V)`, and the seed of the next ones."""
        with keras.StatelessScope([(self.seeds.state, seed)]) as scope:
            tokens = ops.cast(sampler(logits, self.seeds), "int32")
        return tokens, scope.get_current_value(self.seeds.state)

    def _loop(self, sampler: Sampler) -> Callable:
        """A function `(tokens, stopped, state, seed, stops, count) -> (new, made, carry)`.

        The new tokens are `(B, BLOCK)`; the first `made` of them are made, which are `count`, or
        fewer where all rows have stopped. The carry is what the next call begins with.
        """

        def run(
            tokens: Tensor, stopped: Tensor, state: Any, seed: Tensor, stops: Tensor, count: Tensor
        ) -> tuple:
            places = ops.arange(BLOCK, dtype="int32")

            def going(
                made: Tensor, new: Tensor, tokens: Tensor, stopped: Tensor, *_: Any
            ) -> Tensor:
                return ops.logical_and(made < count, ops.logical_not(ops.all(stopped)))

            def body(
                made: Tensor, new: Tensor, tokens: Tensor, stopped: Tensor, state: Any, seed: Tensor
            ) -> tuple:
                logits, state = self.model.step(tokens, state, training=False)
                drawn, seed = self.draw(sampler, logits, seed)
                tokens = ops.where(stopped, tokens, drawn)
                stopped = ops.logical_or(stopped, ops.take(stops, tokens))
                new = ops.where(places == made, tokens[:, None], new)
                return made + 1, new, tokens, stopped, state, seed

            new = ops.zeros((tokens.shape[0], BLOCK), "int32")
            made = ops.zeros((), "int32")
            made, new, *carry = ops.while_loop(
                going, body, (made, new, tokens, stopped, state, seed)
            )
            return new, made, carry

        return self._compiled(run)

    def _compiled(self, function: Callable) -> Callable:
        if keras.backend.backend() == "torch":
            import torch

            return torch.no_grad()(function)
        if self.eagerly:
            return function
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # XLA on CPUs too, where Keras's "auto" is without: steps are many small operations.
            return tf.function(function, jit_compile=True, autograph=False)
        import jax

        def stateless(values: list[Tensor], *args: Any) -> Any:
            with keras.StatelessScope(zip(self.variables, values, strict=True)):
                return function(*args)

        compiled = jax.jit(stateless)
        return lambda *args: compiled([variable.value for variable in self.variables], *args)


def _made(
    generator: Generator,
    at_once: int,
    rows: list[np.ndarray],
    max_new_tokens: int,
    sampler: Sampler,
    seed: int | None,
    stops: Tensor,
) -> Iterator[np.ndarray]:
    logits, state = generator.prefill(*map(ops.convert_to_tensor, generator.left_padded(rows)))
    # A copy, for on TensorFlow it would be the variable itself.
    start = ops.copy(keras.random.SeedGenerator(seed).state)
    tokens, carried = generator.draw(sampler, logits, start)
    stopped = ops.take(stops, tokens)
    carry = [tokens, stopped, state, carried]
    yield ops.convert_to_numpy(tokens)[:, None]
    left = max_new_tokens - 1
    while left and not ops.convert_to_numpy(carry[1]).all():
        count = ops.convert_to_tensor(min(left, at_once), "int32")
        new, made, carry = generator.loop(sampler)(*carry, stops, count)
        yield ops.convert_to_numpy(new)[:, : int(made)]
        left -= int(made)


def _eagerly(model: Any) -> bool:
    return model.run_eagerly or keras.backend.backend() == "torch"


def _rows(model: Any, prompt: Any, mask: Any) -> list[np.ndarray]:
    """The tokens of each prompt that are not masked: padding changes no state and no position."""
    expected = "integers (B, T), or a list of B lists of integers, at least one in each"
    if not isinstance(prompt, list | tuple):
        prompt = np.atleast_1d(ops.convert_to_numpy(prompt))
    rows = [np.asarray(row) for row in prompt]
    if not rows or any(row.ndim != 1 or not row.size for row in rows):
        refuse(model, "prompt", expected, prompt)
    if not all(np.issubdtype(row.dtype, np.integer) for row in rows):
        refuse(model, "prompt", expected, prompt)
    tokens = np.concatenate(rows)
    for token in (tokens.min(), tokens.max()):
        check_integers(model, 0, model.vocabulary_size - 1, prompt=token)
    if mask is None:
        return rows
    marks = ops.convert_to_numpy(mask)
    shapes = {(len(rows), len(row)) for row in rows}
    if shapes != {marks.shape} or not np.isin(marks, (0, 1)).all():
        refuse(model, "mask", f"bools of the prompt's shape {sorted(shapes)}", mask)
    rows = [row[kept.astype(bool)] for row, kept in zip(rows, marks, strict=True)]
    if not all(row.size for row in rows):
        refuse(model, "mask", "true at one step of every prompt", mask)
    return rows


def _check_positions(model: Any, longest: int, max_new_tokens: int) -> None:
    most = model.max_positions
    if not most:
        return
    if longest > most:
        refuse(model, "prompt", f"of at most `max_positions` = {most} tokens", longest)
    # The last new token is at no position: nothing comes after it.
    if longest + max_new_tokens - 1 > most:
        expected = f"at most {most - longest + 1} after {longest} tokens of {most} `max_positions`"
        refuse(model, "max_new_tokens", expected, max_new_tokens)


def _stops(model: Any, stop: Any) -> Tensor:
    """Whether each token of the vocabulary ends a sequence, `(V,)` bool."""
    stops = np.zeros(model.vocabulary_size, bool)
    for token in np.ravel([] if stop is None else stop):
        check_integers(model, 0, model.vocabulary_size - 1, stop=token)
        stops[token] = True
    return ops.convert_to_tensor(stops)
