"""Mamba's recurrence: `h_t = exp(delta_t A) h_{t-1} + delta_t B_t x_t`, read as `y_t = C_t . h_t`.

Gu and Dao (2023), section 3.2 and algorithm 2. Every channel d has a state of N numbers, whose
decays `exp(delta_td A_dn)` depend on the step, the channel and the number, so that no product of
matrices covers several steps.

- recurrent: a loop over time, differentiated by the general `scan`;
- fused: in blocks, of which the state at the start is kept; the backward pass rematerialises a
  block's decays and states, so that neither are ever held for all steps (section 3.3.2 of the paper
  does the same on a GPU). Within a block there is a loop over time, and on an accelerator a scan of
  all its steps at once.
"""

from collections.abc import Callable, Sequence

import keras
from keras import ops

from common.ops.linear_scan import linear_scan
from common.ops.loops import takes_associative_scan
from common.ops.operands import accumulation_dtype, check_rank
from common.ops.scan import scan as differentiable_scan
from common.ops.scan import scan_marked
from common.ops.time_axis import from_chunks, pad_time, to_chunks, zero_where_masked
from common.typing import Tensor

# Steps in a block: its states stay in the cache between its forward and its backward pass.
BLOCK = 32
# On an accelerator as many as its memory takes easily, B x 256 x N x D numbers at a time.
_LARGE_BLOCK = 256


def recurrent_selective_scan(
    x: Tensor,
    delta: Tensor,
    b: Tensor,
    c: Tensor,
    a: Tensor,
    state: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    negative: bool = False,
) -> tuple[Tensor, Tensor]:
    """The selective scan, one step after the other.

    16 bit inputs are accumulated in float32.

    Args:
        x: Inputs `(B, T, D)`.
        delta: Step sizes `(B, T, D)`, at least 0.
        b: What writes the input into the state, `(B, T, N)`.
        c: What reads the state, `(B, T, N)`.
        a: `A`, `(D, N)`, at most 0.
        state: `h` before the first step, `(B, D, N)`; `initial` by default.
        initial: `(B, D, N)`, what a reset puts back; zeros by default.
        mask: `(B, T)` bool; false leaves the state as it was.
        reset: `(B, T)` bool; true puts the state back to `initial` before the step.
        negative: Whether decays are `2 exp(delta A) - 1`, between -1 and 1 (Grazzi 2024).

    Returns:
        `(y, final)`: outputs `(B, T, D)` in the dtype of `x`, and the last state `(B, D, N)` in
        the accumulation dtype.

    Raises:
        ValueError: if the shapes do not fit together.
    """

    def core(
        xs: Sequence[Tensor], a: Tensor, state: Tensor, initial: Tensor, reset: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        final, y = scan_marked(_step(a, negative), state, xs, initial, None, reset)
        return y, final

    return _apply(core, x, delta, b, c, a, state, initial, mask, reset)


def fused_selective_scan(
    x: Tensor,
    delta: Tensor,
    b: Tensor,
    c: Tensor,
    a: Tensor,
    state: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    negative: bool = False,
    scan: str = "auto",
) -> tuple[Tensor, Tensor]:
    """The selective scan in blocks of steps, of which the states at the borders are kept.

    Arguments and results are those of `recurrent_selective_scan`, and `scan`: how to go over the
    steps of a block, by a `"loop"` or at once, `"associative"`; `"auto"` by the device.
    """

    def core(
        xs: Sequence[Tensor], a: Tensor, state: Tensor, initial: Tensor, reset: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        length = ops.shape(xs[0])[1]
        at_once = takes_associative_scan(scan, xs[0])
        size = _LARGE_BLOCK if at_once else BLOCK
        # Steps of zeros leave the state as it was.
        blocks = [to_chunks(pad_time(x, size), size) for x in xs]
        marks = [] if reset is None else [to_chunks(pad_time(reset, size, False), size)]

        def block(h: Tensor, inputs: tuple[list[Tensor], list[Tensor]]) -> tuple[Tensor, Tensor]:
            xs, marks = inputs
            if at_once:
                return _all_steps(a, negative, h, xs, initial, *marks)
            return scan_marked(_step(a, negative), h, xs, initial, None, *marks)

        # TensorFlow's `scan` itself rematerialises every step, here a block.
        if keras.backend.backend() != "tensorflow":
            block = keras.remat(block)
        final, y = differentiable_scan(block, state, (blocks, marks))
        return from_chunks(y, length), final

    return _apply(core, x, delta, b, c, a, state, initial, mask, reset)


def selective_scan_step(
    x: Tensor, delta: Tensor, b: Tensor, c: Tensor, a: Tensor, state: Tensor, negative: bool = False
) -> tuple[Tensor, Tensor]:
    """One step: `(B, D)`, `(B, D)`, `(B, N)`, `(B, N)`, `(D, N)` and the state `(B, D, N)`.

    Returns:
        `(y, state)`, the output `(B, D)` and the new state.
    """
    decay = _decay(ops.exp(delta[..., None] * a), negative)
    state = decay * state + (delta * x)[..., None] * b[:, None]
    return ops.matmul(state, c[..., None])[..., 0], state


def _apply(
    core: Callable,
    x: Tensor,
    delta: Tensor,
    b: Tensor,
    c: Tensor,
    a: Tensor,
    state: Tensor | None,
    initial: Tensor | None,
    mask: Tensor | None,
    reset: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Reduces the general case to `core((u, delta, b, c), a, state, initial, reset)`.

    There `u` is `delta x`, and A and the states are `(B, N, D)`: loops over the channels, the
    longer axis, are what processors do best.
    """
    for name, value in (("x", x), ("delta", delta)):
        check_rank(name, value, "B T D")
    for name, value in (("b", b), ("c", c)):
        check_rank(name, value, "B T N")
    check_rank("a", a, "D N")
    for name, value, width in (
        ("delta", delta, x.shape[2]),
        ("b", b, a.shape[1]),
        ("c", c, a.shape[1]),
        ("x", x, a.shape[0]),
    ):
        if value.shape[2] != width:
            raise ValueError(f"`{name}` must have the width {width}, got {tuple(value.shape)}")
    output_dtype, dtype = x.dtype, accumulation_dtype(x)
    x, delta, b, c, a = (ops.cast(z, dtype) for z in (x, delta, b, c, a))
    # A step of size 0 leaves the state as it was.
    delta = zero_where_masked(delta, mask)
    # A copy of A for every sequence: its gradient is summed over the batch once, and not at every
    # step, which XLA does slowly.
    a = ops.broadcast_to(ops.transpose(a), (ops.shape(x)[0], *a.shape[::-1]))
    zeros = ops.zeros_like(a)
    initial = zeros if initial is None else ops.swapaxes(ops.cast(initial, dtype), 1, 2)
    state = initial if state is None else ops.swapaxes(ops.cast(state, dtype), 1, 2)
    y, final = core((delta * x, delta, b, c), a, state, initial, reset)
    return ops.cast(y, output_dtype), ops.swapaxes(final, 1, 2)


def _decay(power: Tensor, negative: bool) -> Tensor:
    return 2 * power - 1 if negative else power


def _step(a: Tensor, negative: bool) -> Callable:
    """A step from the state `(B, N, D)`, with `(u, delta, b, c)` at one time."""

    def step(h: Tensor, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        u, delta, b, c = inputs
        h = _decay(ops.exp(delta[:, None] * a), negative) * h + u[:, None] * b[..., None]
        # A product of matrices: XLA sums slowly over a computed array, and would recompute it.
        return h, ops.matmul(c[:, None], h)[:, 0]

    return step


def _all_steps(
    a: Tensor,
    negative: bool,
    h: Tensor,
    xs: Sequence[Tensor],
    initial: Tensor,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The steps of a block at once: the last state, and what all of them read."""
    u, delta, b, c = xs
    decay = _decay(ops.exp(delta[:, :, None] * a[:, None]), negative)
    added = u[:, :, None] * b[..., None]
    h, final = linear_scan(decay, added, h, initial=initial, reset=reset, scan="associative")
    return final, ops.matmul(c[:, :, None], h)[:, :, 0]
