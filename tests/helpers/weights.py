"""What the initial weights of layers and models must be."""

from collections.abc import Callable

import keras
import numpy as np


def assert_drawn_apart(make: Callable[[], object], input_shape) -> None:
    """Asserts that no random value of the layer or model `make()`, built, is there twice.

    Random is what depends on the seed. One value in twenty may come up again by chance.
    """
    first, second = (_initial_values(make, input_shape, seed) for seed in (0, 1))
    drawn = first[first != second]
    repeated = drawn.size - np.unique(drawn).size
    assert repeated <= drawn.size / 20, f"{repeated} of {drawn.size} values are there twice"


def _initial_values(make, input_shape, seed: int) -> np.ndarray:
    keras.utils.set_random_seed(seed)
    model = make()
    model.build(input_shape)
    weights = [np.asarray(value, "float64").ravel() for value in model.get_weights()]
    return np.concatenate([np.empty(0), *weights])
