"""Parameters of a model too large to allocate."""

import math
from collections.abc import Callable

import keras
from keras.src.backend.common import global_state

_PENDING = "uninitialized_variables"


def count_parameters(make: Callable[[], keras.Model]) -> int:
    """Number of trainable parameters of the model that `make` builds, from their shapes alone.

    Args:
        make: Returns a model whose `build` needs no other shape than `(None, None)`.

    Returns:
        The number. No weight is allocated, so a model of any size can be counted.
    """
    pending = list(global_state.get_global_attribute(_PENDING, []))
    try:
        # In a stateless scope Keras notes a variable's shape and leaves its value for later.
        with keras.StatelessScope(initialize_variables=False):
            model = make()
            model.build((None, None))
            return sum(math.prod(weight.shape) for weight in model.trainable_variables)
    finally:
        # Later is the end of the next scope, whosever it is; this model is gone by then.
        global_state.set_global_attribute(_PENDING, pending)
