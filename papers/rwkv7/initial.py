"""Initial values of RWKV-7's weights, as in the authors' code (RWKV-LM, RWKV-v7/train_temp)."""

import keras
import numpy as np
from keras import ops


def orthogonal(*gains: float):
    """Orthogonal matrices side by side, each with a gain of its own."""

    def initial(shape, dtype=None):
        rows, columns = shape[0], shape[1] // len(gains)
        # The decomposition behind it knows no 16 bits.
        wide = "float64" if dtype == "float64" else "float32"
        parts = [keras.initializers.Orthogonal(gain)((rows, columns), wide) for gain in gains]
        return ops.cast(ops.concatenate(parts, axis=-1), dtype)

    return initial


def ramp(power: float):
    """`1 - (n / D)^power` for the channels n from 0 to D - 1: the first sees the step before."""
    return lambda shape, dtype=None: ops.cast(1 - _part(shape[-1]) ** power, dtype)


def shifts(powers: tuple[float, ...], rest: float):
    """A ramp a row, its powers times the share of blocks that are left."""
    return lambda shape, dtype=None: ops.cast(
        np.stack([1 - _part(shape[-1]) ** (power * rest) for power in powers]), dtype
    )


def bias_of_decays(head_dim: int, depth: float):
    """From slow decays to fast ones, over all heads and in each; `depth` is 0 to 1."""

    def initial(shape, dtype=None):
        share = _linear(shape[0]) + 0.5
        slope = -6 + 6 * share ** (1 + depth**0.3)
        return ops.cast(slope + 0.5 + 2.5 * _zigzag(shape[0], head_dim), dtype)

    return initial


def bias_of_rates(head_dim: int):
    """Rates of a half, less in the lower half of the channels, over all heads and in each."""
    return lambda shape, dtype=None: ops.cast(
        -0.19 + 0.3 * _zigzag(shape[0], head_dim) + 0.4 * _linear(shape[0]), dtype
    )


def bias_of_residuals(shape, dtype=None):
    """Two thirds of the values are the first layer's, a little less in the upper channels."""
    return ops.cast(0.73 - 0.4 * _linear(shape[0]), dtype)


def scale_of_removals(shape, dtype=None):
    """From 0.76 down to 0.66."""
    return ops.cast(0.71 - 0.1 * _linear(shape[0]), dtype)


def _part(size: int) -> np.ndarray:
    return np.arange(size) / size


def _linear(size: int) -> np.ndarray:
    """From -1/2 to 1/2."""
    return np.arange(size) / max(1, size - 1) - 0.5


def _zigzag(size: int, head_dim: int) -> np.ndarray:
    """From -1 to 1 in each head, by a signed square."""
    middle = (head_dim - 1) / 2
    place = (np.arange(size) % head_dim - middle) / max(middle, 0.5)
    return place * abs(place)
