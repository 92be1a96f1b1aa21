"""Initial values that a model gives to weights of its layers."""

import keras


def init_normal(weight: keras.Variable, stddev: float) -> None:
    """Draws `weight` again, from a normal distribution of standard deviation `stddev`."""
    # A separate initializer: one that is called twice gives the same values twice.
    weight.assign(keras.initializers.RandomNormal(0, stddev)(weight.shape, weight.dtype))
