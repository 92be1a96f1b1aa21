"""Activations as exact as the dtype that they are computed in."""

import math

from keras import ops

from common.typing import Tensor


def gelu(x: Tensor) -> Tensor:
    """`x Phi(x)`, Phi the normal distribution function (Hendrycks 2016), by the error function."""
    # TensorFlow's own has a constant of 8 digits, in float64 too.
    return 0.5 * x * (1 + ops.erf(x / math.sqrt(2)))


def gelu_tanh(x: Tensor) -> Tensor:
    """The approximation of `gelu` by a hyperbolic tangent (Hendrycks 2016)."""
    return 0.5 * x * (1 + ops.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


GELUS = {"gelu": gelu, "gelu_tanh": gelu_tanh}
