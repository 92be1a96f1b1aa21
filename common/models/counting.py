"""Parameters of a model too large to allocate."""

import math
from collections.abc import Callable

import keras


def count_parameters(make: Callable[[], keras.Model]) -> int:
    """Number of trainable parameters of the model that `make` builds, from their shapes alone.

    Args:
        make: Returns a model whose `build` needs no other shape than `(None, None)`.

    Returns:
        The number. No weight is allocated, so a model of any size can be counted.
    """
    # In a stateless scope Keras notes a variable's shape and leaves its value for later.
    with keras.StatelessScope(initialize_variables=False):
        model = make()
        model.build((None, None))
        return sum(math.prod(weight.shape) for weight in model.trainable_variables)
