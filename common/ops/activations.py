"""Activations as exact as the dtype that they are computed in."""

import math

from keras import ops


def gelu(x):
    """`x Phi(x)`, Phi the normal distribution function (Hendrycks 2016), by the error function."""
    # TensorFlow's own has a constant of 8 digits, in float64 too.
    return 0.5 * x * (1 + ops.erf(x / math.sqrt(2)))
