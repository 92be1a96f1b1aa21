"""Programs on JAX, compiled ahead of time, weights and inputs as arguments."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from benchmarks.models import Model, draw
from benchmarks.programs.program import SMALL, Program


def make(model: Model, mode: str, compiler: str, inputs: np.ndarray, dtype: str) -> Program:
    """See `benchmarks.programs.make_program`."""
    x = jnp.asarray(inputs, dtype)
    weights = [variable.value for variable in model.variables]
    forward = _stateless(model, model.call)
    if mode == "forward":
        return _program(forward, weights, x)
    if mode == "step":
        assert model.step is not None and model.initial_state is not None
        state = model.initial_state(len(inputs))
        return _program(_stateless(model, model.step), weights, x, state)
    if mode == "train":
        return _train_step(model, forward, weights, x)
    upstream = jnp.asarray(draw(*inputs.shape[:2], model.units, seed=1), dtype)

    def gradients(weights, x, upstream):
        y, backward = jax.vjp(forward, weights, x)
        in_weights, in_inputs = backward(upstream)
        return [y, in_inputs, *in_weights]

    return _program(gradients, weights, x, upstream)


def _stateless(model: Model, function: Callable) -> Callable:
    def call(weights, *arguments):
        with keras.StatelessScope(list(zip(model.variables, weights, strict=True))):
            return function(*arguments)

    return call


def _program(function: Callable, *arguments: Any) -> Program:
    compiled: list[Any] = []
    on_cpu = all(d.platform == "cpu" for d in jax.tree.leaves(arguments)[0].devices())

    def call():
        # The first call compiles, and is timed as the compilation.
        if not compiled:
            compiled.append(jax.jit(function).lower(*arguments).compile())
        result = compiled[0](*arguments)
        if on_cpu:
            # Calls would run beside each other.
            jax.block_until_ready(result)
        return result

    def memory() -> int | None:
        plan = compiled[0].memory_analysis() if compiled else None
        return None if plan is None else plan.temp_size_in_bytes + plan.output_size_in_bytes

    return Program(call, memory)


def _train_step(model: Model, forward: Callable, weights: list, x) -> Program:
    optimizer = keras.optimizers.Adam(SMALL)
    optimizer.build(model.variables)
    slots = [variable.value for variable in optimizer.variables]

    def train_step(weights, slots, x):
        def loss(weights):
            return jnp.mean(forward(weights, x).astype("float32") ** 2)

        return optimizer.stateless_apply(slots, jax.grad(loss)(weights), weights)

    return _program(train_step, weights, slots, x)
