"""What the papers' equations take in NumPy, and layers with random weights to compare them with."""

import numpy as np
from keras import ops


def array(x):
    return ops.convert_to_numpy(x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def unit(x):
    return x / np.sqrt((x * x).sum(-1, keepdims=True) + 1e-6)


def convolve(x, kernel):
    """A short causal convolution, channel by channel."""
    return np.stack(
        [np.convolve(x[:, d], kernel[::-1, d])[: len(x)] for d in range(x.shape[1])], axis=1
    )


def drawn(layer, x, seed=0):
    """The layer built for `x` with random weights, and these by name."""
    layer.build(x.shape)
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(0.7 * rng.standard_normal(weight.shape))
    return layer, {weight.name: array(weight) for weight in layer.weights}
