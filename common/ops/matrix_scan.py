"""The recurrence `h_t = A_t h_{t-1} + b_t` with small matrices, many side by side.

With `scan="loop"` both directions are one pass, step by step; with `"associative"` log T passes, of
`(A, b) (A', b') = (A' A, A' b + b')`, which multiply matrices with matrices. The gradient keeps the
states alone: `d A_t` is an outer product of its adjoint and `h_{t-1}`.
"""

from collections.abc import Callable
from functools import cache

from keras import ops

from common.ops.associative_scan import associative_scan
from common.ops.loops import takes_associative_scan, time_loop
from common.ops.operands import accumulation_dtype
from common.ops.time_axis import expand_like, previous, zero_unless
from common.typing import Tensor


def matrix_scan(
    a: Tensor,
    b: Tensor,
    state: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    scan: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Solves `h_t = A_t h_{t-1} + b_t`, in time linear in T.

    16 bit inputs are accumulated in float32.

    Args:
        a: Matrices A of shape `(B, T, ..., N, N)`. Any are safe in the loop; in the associative
            scan those whose products over runs of steps are finite.
        b: Inputs of shape `(B, T, ..., N)`.
        state: `(B, ..., N)`, `h` before the first step; zeros by default.
        mask: `(B, T)` bool; false leaves the state as it was.
        reset: `(B, T)` bool; true puts the state back to zeros before the step.
        scan: `"loop"`, `"associative"`, or `"auto"`, by the device.

    Returns:
        `(h, final)`: all states `(B, T, ..., N)` in the dtype of `b`, and the last one
        `(B, ..., N)` in the accumulation dtype.

    Raises:
        ValueError: if `a` has not the shape of `b` and one more axis like its last.
    """
    if tuple(a.shape) != (*b.shape, b.shape[-1]):
        raise ValueError(
            f"`a` must have the shape of `b` and its last axis again, {(*b.shape, b.shape[-1])}; "
            f"got {tuple(a.shape)}"
        )
    output_dtype, dtype = b.dtype, accumulation_dtype(b)
    a, b = ops.cast(a, dtype), ops.cast(b, dtype)
    state = ops.zeros_like(b[:, 0]) if state is None else ops.cast(state, dtype)
    if mask is not None:
        a = ops.where(expand_like(mask, a), a, ops.eye(b.shape[-1], dtype=dtype))
        b = zero_unless(expand_like(mask, b), b)
    if reset is not None:
        a = zero_unless(~expand_like(reset, a), a)
    h = _differentiable(takes_associative_scan(scan, b))(a, b, state)
    return ops.cast(h, output_dtype), h[:, -1]


@cache
def _differentiable(associative: bool) -> Callable:
    """`(a, b, state)` to all states of the recurrence, with its gradient."""

    @ops.custom_gradient
    def run(a: Tensor, b: Tensor, state: Tensor) -> tuple[Tensor, Callable]:
        h = _every_state(associative, a, b, state)

        def grad(*args: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, ...]:
            g = args[0] if upstream is None else upstream
            d_state, d_h = _adjoint(associative, ops.swapaxes(a, -1, -2), g)
            return d_h[..., :, None] * previous(h, state)[..., None, :], d_h, d_state

        return h, grad

    return run


def _apply(a: Tensor, h: Tensor) -> Tensor:
    return ops.matmul(a, h[..., None])[..., 0]


def _every_state(associative: bool, a: Tensor, b: Tensor, state: Tensor) -> Tensor:
    """Every `h_t`, `(B, T, ..., N)`, without regard to differentiation."""
    if associative:
        first = _apply(a[:, :1], state[:, None]) + b[:, :1]
        b = ops.concatenate([first, b[:, 1:]], axis=1)

        def compose(
            earlier: tuple[Tensor, Tensor], later: tuple[Tensor, Tensor]
        ) -> tuple[Tensor, Tensor]:
            return ops.matmul(later[0], earlier[0]), _apply(later[0], earlier[1]) + later[1]

        return associative_scan(compose, (a, b))[1]

    def step(h: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        h = _apply(a, h) + b
        return h, h

    # What stands behind the last step changes only the carry, which is not read.
    return time_loop(step, state, (a, b), padding=(0, 0))[1]


def _adjoint(associative: bool, a: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients with respect to the state and to each `h_t`, from the transposes of A."""
    if associative:
        # Each adjoint is the next one's, brought back by the next transpose; behind the last is 0.
        following = ops.concatenate([a[:, 1:], ops.zeros_like(a[:, :1])], axis=1)
        following, backwards = ops.flip(following, axis=1), ops.flip(upstream, axis=1)
        d_h = _every_state(True, following, backwards, ops.zeros_like(upstream[:, 0]))
        d_h = ops.flip(d_h, axis=1)
        return _apply(a[:, 0], d_h[:, 0]), d_h

    def step(carry: Tensor, a: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        g = g + carry
        return _apply(a, g), g

    start = ops.zeros_like(upstream[:, 0])
    return time_loop(step, start, (a, upstream), padding=(0, 0), reverse=True)
