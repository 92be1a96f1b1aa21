"""Parameters and speed; the other experiments are `common.trials.labelling`."""

import keras
import numpy as np
from keras import ops

from common.models import count_parameters
from common.reproduce import Run
from common.reproduce.timing import compiled, measure
from papers.xlstm.layers import MLSTM, SLSTM
from papers.xlstm.model import SIZES, XLSTM


def mlstm(vocabulary: int, num_blocks: int = 2, **settings) -> XLSTM:
    """An xLSTM[1:0], of mLSTM blocks only."""
    return XLSTM(vocabulary, blocks="m" * num_blocks, **settings)


def slstm(vocabulary: int, num_blocks: int = 2, **settings) -> XLSTM:
    """An xLSTM[0:1], of sLSTM blocks only, without convolution (appendix B.1.1)."""
    return XLSTM(vocabulary, blocks="s" * num_blocks, slstm_kernel_size=0, **settings)


def xlstm11(vocabulary: int, **settings) -> XLSTM:
    """An xLSTM[1:1] of two blocks."""
    return XLSTM(vocabulary, blocks="ms", **settings)


def parameters(run: Run, *, size: str) -> dict[str, float]:
    """Parameters of a language model of tables 3 and 7, in millions."""
    return {"millions": count_parameters(lambda: XLSTM(**SIZES[size])) / 1e6}


def speed(
    run: Run,
    *,
    lengths: list[int],
    units: int,
    num_heads: int,
    batch_size: int,
    samples: int,
) -> dict[str, float]:
    """Forward and backward time of the mLSTM's forms, and of the sLSTM, against the length.

    Returns:
        At the longest of `lengths`: how many times slower than chunkwise the recurrent form is,
        than parallel, and the sLSTM over the chunkwise mLSTM.
    """
    ratios: dict[str, float] = {}
    for length in lengths:
        shape = (batch_size, length, units)
        inputs = np.random.default_rng(run.seed).standard_normal(shape).astype("float32")
        layers = {form: MLSTM(units, num_heads, form=form) for form in MLSTM.forms}
        layers["slstm"] = SLSTM(units, num_heads)
        timings = measure(
            {name: _forward_and_backward(layer, inputs) for name, layer in layers.items()},
            samples=samples,
        )
        seconds = {name: timing.median for name, timing in timings.items()}
        ratios = {
            "chunkwise_ratio": seconds["recurrent"] / seconds["chunkwise"],
            "parallel_ratio": seconds["recurrent"] / seconds["parallel"],
            "slstm_ratio": seconds["slstm"] / seconds["chunkwise"],
        }
        milliseconds = {f"{name}_milliseconds": 1e3 * s for name, s in seconds.items()}
        run.log(step=length, **ratios, **milliseconds)
    return ratios


def _forward_and_backward(layer, inputs):
    """A function without arguments: gradients of the layer's weights on TensorFlow or JAX."""
    layer.build(inputs.shape)
    inputs = ops.convert_to_tensor(inputs)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        def gradients(inputs):
            with tf.GradientTape() as tape:
                value = ops.mean(ops.square(layer(inputs)))
            return tape.gradient(value, layer.trainable_variables)

        function = compiled(gradients, jit_compile=False)
    else:
        import jax

        def value(weights, inputs):
            outputs, _ = layer.stateless_call(weights, [], inputs)
            return ops.mean(ops.square(outputs))

        weights = [variable.value for variable in layer.trainable_variables]
        gradient = jax.jit(jax.grad(value))
        return lambda: gradient(weights, inputs)
    return lambda: function(inputs)
