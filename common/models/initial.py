"""Initial values that a model gives to weights of its layers."""

import keras


def draw_normal(weight: keras.Variable, deviation: float) -> None:
    """Draws `weight` again, from a normal distribution of standard deviation `deviation`."""
    # A separate initializer: one that is called twice gives the same values twice.
    weight.assign(keras.initializers.RandomNormal(0, deviation)(weight.shape, weight.dtype))
