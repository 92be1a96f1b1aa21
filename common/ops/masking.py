"""The marks along time that steer every recurrence in `common.ops`.

Both are boolean of shape `(B, T)`:

- `mask`: a step where it is false leaves the state as it was; its output is unspecified.
- `reset`: where it is true the state is put back to `initial` before the step is taken, whether
  the step itself is masked or not, so that a masked first step of a document cannot leak state.
"""

from collections.abc import Callable

from keras import ops, tree

from common.ops.scan import scan
from common.ops.time_axis import expand_like, take_steps
from common.typing import Nest, Tensor


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


def scan_marked(
    step: Callable[[Nest, Nest], tuple[Nest, Nest]],
    state: Nest,
    xs: Nest,
    initial: Nest | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
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

    def marked_step(state: Nest, inputs: tuple[Nest, dict[str, Tensor]]) -> tuple[Nest, Nest]:
        x, marks = inputs
        if "reset" in marks:
            state = select(marks["reset"], initial, state)
        new_state, y = step(state, x)
        if "mask" in marks:
            new_state = select(marks["mask"], new_state, state)
        return new_state, y

    return scan(marked_step, state, (xs, marks))


def segment_ids(reset: Tensor) -> Tensor:
    """Numbers the documents along the last axis; 0 is the one that began before it."""
    return ops.cumsum(ops.cast(reset, "int32"), axis=-1)
