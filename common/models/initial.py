"""Initial values that a model gives to weights of its layers."""

import keras


def draw_normal(weight: keras.Variable, deviation: float) -> None:
    """Draws the values of `weight` anew, normal with mean 0 and standard deviation `deviation`."""
    # An initializer of its own: one that is called twice gives the same values twice.
    weight.assign(keras.initializers.RandomNormal(0, deviation)(weight.shape, weight.dtype))
