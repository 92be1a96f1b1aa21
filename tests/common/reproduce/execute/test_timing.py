"""Timing: what is timed."""

import keras
import numpy as np
import pytest
from keras import ops

from common.reproduce.execute.timing import layer_gradient_maker
from papers.linear_transformer import LinearAttention


@pytest.mark.parametrize(
    "layer",
    [lambda: LinearAttention(4, 2), lambda: keras.layers.GRU(4, return_sequences=True)],
    ids=["ours", "keras"],
)
def test_the_gradients_are_those_in_inputs_and_all_weights(layer):
    keras.utils.set_random_seed(0)
    layer = layer()
    shape = (2, 6, 4)
    make = layer_gradient_maker(layer, shape, seed=1)
    grads = [ops.convert_to_numpy(g) for g in make(False)()]
    weights = layer.get_weights()[: len(layer.trainable_variables)]
    x, upstream = np.random.default_rng(1).standard_normal((2, *shape)).astype("float32")
    assert [g.shape for g in grads] == [a.shape for a in (x, upstream, *weights)]

    # The loss is linear in the upstream gradient, whose gradient is what the layer emits.
    np.testing.assert_allclose(grads[1], ops.convert_to_numpy(layer(x)), atol=1e-5)

    def loss(x, *weights):
        for variable, value in zip(layer.trainable_variables, weights, strict=True):
            variable.assign(value)
        return float((ops.convert_to_numpy(layer(x)).astype("float64") * upstream).sum())

    rng = np.random.default_rng(2)
    for i, point in enumerate((x, *weights)):
        direction = rng.standard_normal(point.shape).astype("float32")
        ends = []
        for step in (1e-2, -1e-2):
            moved = [x, *weights]
            moved[i] = point + np.float32(step) * direction
            ends.append(loss(*moved))
        slope = (grads[i + (i > 0)] * direction).sum()
        assert (ends[0] - ends[1]) / 2e-2 == pytest.approx(slope, rel=2e-2, abs=1e-2)
