"""Padding, cutting and gathering along time, axis 1."""

from einops import rearrange
from keras import ops

from common.typing import Size, Tensor


def expand_like(flags: Tensor, x: Tensor) -> Tensor:
    """Appends axes of size one to `flags` until it has as many axes as `x`."""
    return ops.reshape(flags, (*ops.shape(flags), *[1] * (len(x.shape) - len(flags.shape))))


def take_steps(x: Tensor, steps: Tensor) -> Tensor:
    """The steps of `x (B, T, ...)` that `steps (B, S)` names: `(B, S, ...)`."""
    taken = ops.take_along_axis(x, expand_like(steps, x), axis=1)
    # TensorFlow forgets even the rank where T is unknown.
    return ops.reshape(taken, (*ops.shape(steps), *x.shape[2:]))


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
