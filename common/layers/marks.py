"""Masks and resets as callers give them."""

import keras
import numpy as np
from keras import ops

from common.known import concrete
from common.typing import Shape, Tensor


def check_marks(
    marks: Tensor | None, input_shape: Shape, name: str, layer_name: str
) -> Tensor | None:
    """Marks as a bool tensor, once they are known to be what they should be.

    Args:
        marks: `(B, T)` of bools, or of integers 0 and 1; a `KerasTensor` too; `None` is `None`.
        input_shape: Shape of the inputs, `(B, T, D)`, `None` where unknown.
        name: `"mask"` or `"reset"`, named in the message.
        layer_name: Likewise.

    Returns:
        `(B, T)` bool tensor, or `None`.

    Raises:
        ValueError: if the shape or the dtype is another, or an integer is known not to be 0 or 1.
    """
    if marks is None:
        return None
    where = f"{layer_name}: `{name}` must"
    marks = marks if hasattr(marks, "dtype") else np.asarray(marks)
    shape = tuple(marks.shape)
    if len(shape) != 2 or any(
        got is not None and want is not None and got != want
        for got, want in zip(shape, input_shape, strict=False)
    ):
        expected = tuple(input_shape[:2])
        raise ValueError(f"{where} have shape (batch, time) = {expected}; got {shape}.")
    dtype = "object" if marks.dtype == object else keras.backend.standardize_dtype(marks.dtype)
    symbolic = isinstance(marks, keras.KerasTensor)
    if dtype != "bool":
        # A float is most likely an additive mask, 0 and -inf, which means the opposite.
        if "int" not in dtype:
            raise ValueError(f"{where} hold bools, or integers 0 and 1; got dtype {dtype}.")
        values = None if symbolic else concrete(marks)
        if values is not None and not np.isin(values, (0, 1)).all():
            raise ValueError(
                f"{where} hold bools, or integers 0 and 1; got integers from {values.min()} to "
                f"{values.max()}."
            )
    return marks if symbolic else ops.cast(marks, "bool")


def backwards(inputs: Tensor, mask: Tensor | None, reset: Tensor | None) -> tuple[Tensor, ...]:
    """What a layer that goes backwards takes, the last step first.

    A reset stands at a document's first step in time; backwards, that is where the next document
    in the order of time ends, one step earlier.
    """
    if reset is not None:
        reset = ops.concatenate([reset[:, 1:], ops.zeros_like(reset[:, :1])], axis=1)
    return tuple(x if x is None else ops.flip(x, axis=1) for x in (inputs, mask, reset))
