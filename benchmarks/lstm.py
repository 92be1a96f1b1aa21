"""`python -m benchmarks.lstm`: a training step of our LSTM, Keras's and torch's."""

import keras
import numpy as np
import tyro

from common.layers import LSTM
from common.reproduce.timing import compiled, measure


def main(
    batch: int = 32, length: int = 256, width: int = 64, units: int = 128, samples: int = 30
) -> None:
    """Times one training step (forward, backward, Adam), interleaved, and prints milliseconds.

    Args:
        batch: Sequences B.
        length: Time steps T.
        width: Width of the inputs D.
        units: Units H.
        samples: Samples of each, at least 10 ms long.
    """
    shape = (batch, length, width)
    inputs = np.random.default_rng(0).standard_normal(shape).astype("float32")
    functions = {}
    for jit in (False, True):
        suffix = " xla" if jit else ""
        functions[f"ours{suffix}"] = train_step(LSTM(units), inputs, jit)
        keras_layer = keras.layers.LSTM(units, return_sequences=True)
        functions[f"keras{suffix}"] = train_step(keras_layer, inputs, jit)
    functions |= torch_step(inputs, units)
    timings = measure(functions, samples=samples)
    print(f"B={batch} T={length} D={width} H={units}, one training step, milliseconds")
    print(f"{'layer':12} {'median':>8} {'p20':>8} {'p80':>8} {'compile':>8}")
    for name, t in timings.items():
        row = [1e3 * seconds for seconds in (t.median, t.p20, t.p80, t.first)]
        print(f"{name:12} " + " ".join(f"{value:8.1f}" for value in row))


def train_step(layer, inputs, jit_compile: bool):
    """A function without arguments: one Adam step on the mean of the squared outputs (TF)."""
    import tensorflow as tf

    layer.build(inputs.shape)
    variables = layer.trainable_variables
    optimizer = keras.optimizers.Adam()
    optimizer.build(variables)

    def step(inputs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(layer(inputs) ** 2)
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    function, inputs = compiled(step, jit_compile), tf.constant(inputs)
    return lambda: function(inputs)


def torch_step(inputs, units: int) -> dict:
    """The same step of `torch.nn.LSTM`, if torch is installed."""
    try:
        import torch
    except ImportError:
        print("torch: not installed")
        return {}
    layer = torch.nn.LSTM(inputs.shape[-1], units, batch_first=True)
    optimizer = torch.optim.Adam(layer.parameters())
    inputs = torch.tensor(inputs)

    def step():
        optimizer.zero_grad()
        loss = (layer(inputs)[0] ** 2).mean()
        loss.backward()
        optimizer.step()
        return keras.ops.convert_to_tensor(loss.detach().numpy())

    return {"torch": step}


if __name__ == "__main__":
    tyro.cli(main)
