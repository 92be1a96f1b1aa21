"""What a model's outputs answer. One that is no number answers nothing, and is never right."""

import numpy as np
from keras import ops

from common.typing import Tensor

NOTHING = -1


def likeliest(logits: np.ndarray) -> np.ndarray:
    """The class with the largest logit, `(..., C)` to `(...)`; -1 where one is not finite."""
    return np.where(np.isfinite(logits).all(-1), logits.argmax(-1), NOTHING)


def likeliest_in_graph(logits: Tensor) -> Tensor:
    """`likeliest` on tensors, int32."""
    finite = ops.all(ops.isfinite(logits), axis=-1)
    return ops.where(finite, ops.cast(ops.argmax(logits, axis=-1), "int32"), NOTHING)
