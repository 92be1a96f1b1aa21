"""Helpers that the recurrences share: marks along time, padding and cutting into chunks.

Two marks steer every recurrence in `common.ops`, both boolean of shape `(B, T)`:

- `mask`: a step where it is false leaves the state as it was; its output is unspecified.
- `reset`: where it is true the state is put back to `initial` before the step is taken, whether
  the step itself is masked or not, so that a masked first step of a document cannot leak state.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops, tree

from common.ops.scan import scan

Nest = Any

# Of the forms that are quadratic in time: 32 GiB of float32 scores, of all rows and heads.
MOST_PAIRS = 2**33


def accumulation_dtype(x) -> str:
    """The dtype to accumulate `x` in: its own, but float32 for the 16 bit floats."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    return "float32" if dtype in ("float16", "bfloat16") else dtype


def check_rank(name: str, x, expected: str) -> None:
    """Raises a `ValueError` unless `x` has as many axes as `expected` names, as in "B T H K"."""
    if len(x.shape) != len(expected.split()):
        raise ValueError(
            f"`{name}` must have shape ({', '.join(expected.split())}), got {tuple(x.shape)}"
        )


def check_heads(q, k, v) -> None:
    """Raises a `ValueError` unless `q, k (B, T, H, K)` and `v (B, T, H, V)` fit together."""
    check_rank("q", q, "B T H K")
    check_rank("k", k, "B T H K")
    check_rank("v", v, "B T H V")
    if q.shape[2:] != k.shape[2:]:
        raise ValueError(
            f"`q` must have the heads and key size of `k` {tuple(k.shape)}, got {tuple(q.shape)}"
        )
    if k.shape[2] != v.shape[2]:
        raise ValueError(f"`v` must have the {k.shape[2]} heads of `k`, got {tuple(v.shape)}")


def check_pairs(v) -> None:
    """Raises a `ValueError` where the pairs of steps of `v (B, T, H, V)` are known to be too many.

    Unknown sizes count as 1.
    """
    batch, length, heads = (size if isinstance(size, int) else 1 for size in v.shape[:3])
    pairs = batch * heads * length**2
    if pairs > MOST_PAIRS:
        raise ValueError(
            f"`v` of shape {tuple(v.shape)} has {pairs:,} pairs of steps, more than the "
            f"{MOST_PAIRS:,} that the parallel form takes: `form='chunkwise'` is linear in time"
        )


def expand_like(flags, x):
    """Appends axes of size one to `flags` until it has as many axes as `x`."""
    return ops.reshape(flags, (*ops.shape(flags), *[1] * (len(x.shape) - len(flags.shape))))


def take_steps(x, steps):
    """The steps of `x (B, T, ...)` that `steps (B, S)` names: `(B, S, ...)`."""
    taken = ops.take_along_axis(x, expand_like(steps, x), axis=1)
    # TensorFlow forgets even the rank where T is unknown.
    return ops.reshape(taken, (*ops.shape(steps), *x.shape[2:]))


def select(flags, chosen: Nest, otherwise: Nest) -> Nest:
    """`ops.where` on nested structures, with `flags` spread over the trailing axes."""
    return tree.map_structure(
        lambda a, b: ops.where(expand_like(flags, a), a, b), chosen, otherwise
    )


def zero_unless(flags, x):
    """`x` with zeros where `flags`, broadcast to it, are false."""
    return ops.where(flags, x, ops.zeros((), x.dtype))


def zero_where_masked(x, mask):
    """`x` of shape `(B, T, ...)` with zeros at the masked steps; `x` itself if `mask` is None."""
    return x if mask is None else zero_unless(expand_like(mask, x), x)


def scan_marked(
    step: Callable[[Nest, Nest], tuple[Nest, Nest]],
    state: Nest,
    xs: Nest,
    initial: Nest | None = None,
    mask=None,
    reset=None,
) -> tuple[Nest, Nest]:
    """`scan` that keeps the state at masked steps and puts it back to `initial` at resets.

    Args:
        step: `(state, x) -> (state, y)`.
        state: Nested structure of tensors, the state before the first step.
        xs: Nested structure of tensors of shape `(B, T, ...)`.
        initial: What a reset puts back, structured as `state`; zeros by default.
        mask: `(B, T)` bool or None.
        reset: `(B, T)` bool or None.

    Returns:
        `(state, ys)` as `scan` does.
    """
    if initial is None:
        initial = tree.map_structure(ops.zeros_like, state)
    marks = {"mask": mask, "reset": reset}
    marks = {name: flags for name, flags in marks.items() if flags is not None}

    def marked_step(state, inputs):
        x, marks = inputs
        if "reset" in marks:
            state = select(marks["reset"], initial, state)
        new_state, y = step(state, x)
        if "mask" in marks:
            new_state = select(marks["mask"], new_state, state)
        return new_state, y

    return scan(marked_step, state, (xs, marks))


def pad_time(x, multiple: int, value=0):
    """Pads axis 1 of `x` at its end to the next multiple of `multiple`."""
    length = x.shape[1]
    if length is not None and length % multiple == 0:
        return x
    length = ops.shape(x)[1] if length is None else length
    # In whole chunks: JAX's symbolic sizes can be compared in this form.
    missing = (length + multiple - 1) // multiple * multiple - length
    widths = [(0, 0), (0, missing), *[(0, 0)] * (len(x.shape) - 2)]
    return ops.pad(x, widths, constant_values=value)


def to_chunks(x, size: int):
    """Cuts `(B, T, ...)` into `(B, N, size, ...)`; T must be a multiple of `size`."""
    batch, length, *rest = ops.shape(x)
    return ops.reshape(x, (batch, length // size, size, *rest))


def from_chunks(x, length):
    """Joins `(B, N, C, ...)` to `(B, T, ...)` and cuts the padding off."""
    batch, chunks, size, *rest = ops.shape(x)
    x = ops.reshape(x, (batch, chunks * size, *rest))
    # A slice of everything would cost: outside XLA, TensorFlow's gradient of a slice is slow.
    return x if isinstance(length, int) and x.shape[1] == length else x[:, :length]


def segment_ids(reset):
    """Numbers the documents along the last axis; 0 is the one that began before it."""
    return ops.cumsum(ops.cast(reset, "int32"), axis=-1)
