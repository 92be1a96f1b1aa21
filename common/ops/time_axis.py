"""Steps along time, axis 1: which of them count, padding, chunks.

Two marks `(B, T)`, boolean, steer every recurrence in `common.ops`:

- `mask`: a step where it is false leaves the state as it was; its output is unspecified.
- `reset`: where it is true the state is put back to `initial` before the step is taken, whether
  the step itself is masked or not, so that a masked first step of a document cannot leak state.
"""

import keras
import numpy as np
from einops import rearrange
from keras import ops, tree

from common.ops.operands import concrete
from common.typing import Nest, Shape, Size, Tensor


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


def select(flags: Tensor, chosen: Nest, otherwise: Nest) -> Nest:
    """`ops.where` on nested structures, with `flags` spread over the trailing axes."""
    return tree.map_structure(
        lambda a, b: ops.where(expand_like(flags, a), a, b), chosen, otherwise
    )


def zero_unless(flags: Tensor, x: Tensor) -> Tensor:
    """`x` with zeros where `flags`, broadcast to it, are false."""
    return ops.where(flags, x, ops.zeros((), x.dtype))


def zero_where_masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """`x` of shape `(B, T, ...)` with zeros at the masked steps; `x` itself if `mask` is None."""
    return x if mask is None else zero_unless(expand_like(mask, x), x)


def marked_first(marks: Tensor) -> Tensor:
    """The order of steps `(B, T)` that puts those marked first and keeps it else."""
    length = ops.shape(marks)[1]
    steps = ops.arange(length)
    # Distinct keys make any sort a stable one.
    return ops.argsort(ops.where(marks, steps, steps + length), axis=1)


def compact(x: Tensor, mask: Tensor) -> Tensor:
    """`x (B, T, ...)` with the valid steps first, in their order, and zeros after them."""
    return take_steps(zero_where_masked(x, mask), marked_first(mask))


def steps_taken(mask: Tensor) -> Tensor:
    """How many steps were valid up to each, itself included, `(B, T)` int32."""
    return ops.cumsum(ops.cast(mask, "int32"), axis=1)


def spread(y: Tensor, taken: Tensor) -> Tensor:
    """What was computed of `compact` inputs, at every step: that of the last valid one.

    Args:
        y: `(B, T, ...)`.
        taken: `steps_taken`; where it is 0, what stands there is unspecified.
    """
    return take_steps(y, ops.maximum(taken - 1, 0))


def segment_ids(reset: Tensor) -> Tensor:
    """Numbers the documents along the last axis; 0 is the one that began before it."""
    return ops.cumsum(ops.cast(reset, "int32"), axis=-1)


def expand_like(flags: Tensor, x: Tensor) -> Tensor:
    """Appends axes of size one to `flags` until it has as many axes as `x`."""
    return ops.reshape(flags, (*ops.shape(flags), *[1] * (len(x.shape) - len(flags.shape))))


def take_steps(x: Tensor, steps: Tensor) -> Tensor:
    """The steps of `x (B, T, ...)` that `steps (B, S)` names: `(B, S, ...)`."""
    taken = ops.take_along_axis(x, expand_like(steps, x), axis=1)
    # TensorFlow forgets even the rank where T is unknown.
    return ops.reshape(taken, (*ops.shape(steps), *x.shape[2:]))


def last_step(x: Tensor, mask: Tensor | None) -> Tensor:
    """`x (B, T, ...)` at the last valid step, `(B, ...)`; at the very last where none is valid."""
    if mask is None:
        return x[:, -1]
    back = ops.argmax(ops.flip(ops.cast(mask, "int32"), axis=1), axis=1)
    at = ops.shape(x)[1] - 1 - ops.cast(back, "int32")
    return take_steps(x, at[:, None])[:, 0]


def previous(states: Tensor, first: Tensor) -> Tensor:
    """What the steps that led to `states (B, T, ...)` started from, the first from `first`."""
    return ops.concatenate([first[:, None], states[:, :-1]], axis=1)


def pad_time(x: Tensor, multiple: int, value: float = 0) -> Tensor:
    """Pads axis 1 of `x` at its end to the next multiple of `multiple`."""
    length = x.shape[1]
    if length is not None and length % multiple == 0:
        return x
    length = ops.shape(x)[1] if length is None else length
    # In whole chunks: JAX's symbolic sizes can be compared in this form.
    missing = (length + multiple - 1) // multiple * multiple - length
    widths = [(0, 0), (0, missing), *[(0, 0)] * (len(x.shape) - 2)]
    return ops.pad(x, widths, constant_values=value)


def to_chunks(x: Tensor, size: int) -> Tensor:
    """Cuts `(B, T, ...)` into `(B, N, size, ...)`; T must be a multiple of `size`."""
    return rearrange(x, "b (n c) ... -> b n c ...", c=size)


def from_chunks(x: Tensor, length: Size) -> Tensor:
    """Joins `(B, N, C, ...)` to `(B, T, ...)` and cuts the padding off."""
    x = rearrange(x, "b n c ... -> b (n c) ...")
    # A slice of everything would cost: outside XLA, TensorFlow's gradient of a slice is slow.
    return x if isinstance(length, int) and x.shape[1] == length else x[:, :length]
