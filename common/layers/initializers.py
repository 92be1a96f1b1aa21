"""Initializers that a caller chooses."""

import contextlib
from types import FunctionType
from typing import Any

import keras
import numpy as np

from common.checks import refuse


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
