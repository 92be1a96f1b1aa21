"""Initializers that a caller chooses."""

import contextlib
from types import FunctionType
from typing import Any

import keras
import numpy as np

from common.checks import refuse
from common.typing import DType, Tensor


def initializer_of(owner: Any, name: str, initializer: Any) -> Any:
    """The initializer that the argument `name` of `owner` stands for.

    Args:
        owner: Named in the message.
        name: Likewise.
        initializer: What `keras.initializers.get` takes, but `None` and arrays, which a config
            can't hold.

    Raises:
        ValueError: if it stands for none.
    """
    found = None
    if not (keras.ops.is_tensor(initializer) or isinstance(initializer, np.ndarray | np.generic)):
        with contextlib.suppress(TypeError, ValueError):
            found = keras.initializers.get(initializer)
    if not isinstance(found, keras.initializers.Initializer | FunctionType):
        refuse(owner, name, "an initializer or the name of one", initializer)
    return found


def output_gate_third(initializer: Any) -> Any:
    """`initializer` of an LSTM's weights, gates along the last axis, with the last two swapped.

    A seed draws the values of the output gate before those of the cell input, which lie the other
    way round: recorded runs drew them in that order, and start from the same function still.
    """
    initializer = keras.initializers.get(initializer)

    def swapped(shape: tuple[int, ...], dtype: DType | None = None) -> Tensor:
        i, f, o, g = keras.ops.split(initializer(shape, dtype=dtype), 4, axis=-1)
        return keras.ops.concatenate([i, f, g, o], axis=-1)

    return swapped
