"""What the initial weights of layers and models must be."""

from collections.abc import Callable

import numpy as np


def assert_drawn_apart(make: Callable[[int], object]) -> None:
    """Asserts that no random value of the built layer or model `make(seed)` is there twice.

    Random is what depends on the seed. One value in twenty may come up again by chance.
    """
    first, second = (_values(make(seed)) for seed in (0, 1))
    drawn = first[first != second]
    repeated = drawn.size - np.unique(drawn).size
    assert repeated <= drawn.size / 20, f"{repeated} of {drawn.size} values are there twice"


def _values(model) -> np.ndarray:
    weights = [np.asarray(value, "float64").ravel() for value in model.get_weights()]
    return np.concatenate([np.empty(0), *weights])
