"""Programs on TensorFlow: eager, `tf.function`, and that compiled by XLA."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.models import Model, draw
from benchmarks.programs.program import SMALL, Program


def make(model: Model, mode: str, compiler: str, inputs: np.ndarray, dtype: str) -> Program:
    """See `benchmarks.programs.make_program`."""
    x = tf.cast(tf.constant(inputs), dtype)
    if mode == "forward":
        return _program(model.call, compiler, x)
    if mode == "step":
        assert model.step is not None and model.initial_state is not None
        return _program(model.step, compiler, x, model.initial_state(len(inputs)))
    if mode == "train":
        return _program(_train_step(model), compiler, x)
    upstream = tf.cast(tf.constant(draw(*inputs.shape[:2], model.units, seed=1)), dtype)
    return _program(_gradients(model), compiler, x, upstream)


def _program(function: Callable, compiler: str, *arguments: Any) -> Program:
    if compiler != "eager":
        function = tf.function(function, jit_compile=compiler == "xla", autograph=False)
    return Program(lambda: function(*arguments))


def _gradients(model: Model) -> Callable:
    variables = [variable.value for variable in model.variables]

    def gradients(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model.call(x)
        found = tape.gradient(y, [x, *variables], upstream)
        return [y, *(gradient for gradient in found if gradient is not None)]

    return gradients


def _train_step(model: Model) -> Callable:
    optimizer = keras.optimizers.Adam(SMALL)
    optimizer.build(model.variables)

    def train_step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.cast(model.call(x), "float32") ** 2)
        values = [variable.value for variable in model.variables]
        optimizer.apply(tape.gradient(loss, values), model.variables)
        return loss

    return train_step
