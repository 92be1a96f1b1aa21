"""The recurrence `h_t = a_t h_{t-1} + b_t` elementwise, over three semirings.

- `linear_scan`: products and sums;
- `log_linear_scan`: the same of positive numbers given by their logarithms;
- `max_plus_scan`: sums and maxima, `m_t = max(a_t + m_{t-1}, b_t)`: the logarithm of a gated sum's
  largest term. Exponential gates are kept in range by dividing the state by `exp(m_t)` (Beck 2024,
  eq. 15; Milakov 2018).

With `scan="loop"` both directions are one pass over memory, step by step, and with `"associative"`
log T passes, of `(a, b) (a', b') = (a a', a' b + b')`: products of gates
appear, but nothing is divided by one, so that gates of 0, 1 or tiny ones are exact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from operator import add, mul

from keras import ops

from common.ops.associative_scan import associative_scan
from common.ops.loops import takes_associative_scan, time_loop
from common.ops.operands import accumulation_dtype
from common.ops.time_axis import expand_like, previous
from common.typing import Tensor

# A finite stand-in for log 0, which keeps differences of infinities out of the gradient. Sums of
# it stay finite, and as good as log 0.
LOG_ZERO = -1e30


@dataclass(frozen=True)
class _Semiring:
    """What the recurrence computes with.

    Attributes:
        zero: `plus` leaves the other side as it is.
        one: `times` leaves the other side as it is.
        times: Of two gates, or of a gate and a state; of `operator`, as Keras's functions round
            float64 outside TensorFlow.
        plus: Of a state and an input.
        derivatives: From `(a, h_{t-1}, b, h_t)` those of `h_t`, by `h_{t-1}`, `a` and `b`; None
            for ones.
    """

    zero: float
    one: float
    times: Callable
    plus: Callable
    derivatives: Callable


def _by_shares(
    log_a: Tensor, log_h: Tensor, log_b: Tensor, new: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    # d log h_t / d log h_{t-1} is the share, in [0, 1], that the old state has in the new.
    old = ops.exp(log_a + log_h - new)
    return old, old, ops.exp(log_b - new)


def _by_winner(a: Tensor, m: Tensor, b: Tensor, new: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    # 1 where the old state won and 0 elsewhere.
    won = ops.cast(a + m > b, new.dtype)
    return won, won, 1 - won


# `keras.ops.maximum` and `logaddexp` would round float64 to float32 outside TensorFlow.


def maximum(x: Tensor, y: Tensor) -> Tensor:
    """The larger of two tensors of one dtype, `y` where they are equal."""
    return ops.where(x > y, x, y)


def _logaddexp(x: Tensor, y: Tensor) -> Tensor:
    return maximum(x, y) + ops.log1p(ops.exp(-ops.abs(x - y)))


_LINEAR = _Semiring(0.0, 1.0, mul, add, lambda a, h, b, new: (a, h, None))
_LOG = _Semiring(LOG_ZERO, 0.0, add, _logaddexp, _by_shares)
_MAX_PLUS = _Semiring(LOG_ZERO, 0.0, add, maximum, _by_winner)


def linear_scan(
    a: Tensor,
    b: Tensor,
    state: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    scan: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Solves `h_t = a_t * h_{t-1} + b_t` elementwise, in time linear in T.

    16 bit inputs are accumulated in float32.

    Args:
        a: Gates of shape `(B, T, ...)`, broadcastable to `b`. 0 is safe; on an accelerator any
            gates are whose products over runs of steps are finite.
        b: Inputs of shape `(B, T, ...)`.
        state: `(B, ...)`, `h` before the first step; `initial` by default.
        initial: `(B, ...)`, the value a reset puts back; zeros by default.
        mask: `(B, T)` bool; false leaves the state as it was.
        reset: `(B, T)` bool; true puts the state back to `initial` before the step.
        scan: `"loop"`, `"associative"`, or `"auto"`, by the device.

    Returns:
        `(h, final)`: all states `(B, T, ...)` in the dtype of `b`, and the last one `(B, ...)` in
        the accumulation dtype.
    """
    output_dtype, dtype = b.dtype, accumulation_dtype(b)
    a, b = ops.cast(a, dtype), ops.cast(b, dtype)
    initial = None if initial is None else ops.cast(initial, dtype)
    a, b = _marked(_LINEAR, a, b, initial, mask, reset)
    if tuple(a.shape) != tuple(b.shape):
        a = ops.broadcast_to(a, ops.shape(b))
    state = initial if state is None else state
    state = ops.zeros_like(b[:, 0]) if state is None else ops.cast(state, dtype)
    h = _differentiable(_LINEAR, takes_associative_scan(scan, b))(a, b, state)
    return ops.cast(h, output_dtype), h[:, -1]


def log_linear_scan(
    log_a: Tensor,
    log_b: Tensor,
    state: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    scan: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Solves `h_t = a_t h_{t-1} + b_t` for positive a and b given by their logarithms.

    Computes the same as the scan of Heinsen (2023), `log h = a* + logcumsumexp(log b - a*)` with
    `a* = cumsum(log a)`, but step by step, `log h_t = logaddexp(log a_t + log h_{t-1}, log b_t)`,
    so that no `a*` grows with T and eats the precision.

    The recurrence is linear: what is left of `state` and `initial` is added separately, outside log
    space. They may be of any sign, and are differentiated at 0 too.

    Args:
        log_a: `(B, T, ...)`, logarithms of the gates.
        log_b: `(B, T, ...)`, logarithms of the inputs.
        state: `(B, ...)`, `h` itself before the first step; `initial` by default.
        initial: `(B, ...)`, the value a reset puts back; zeros by default.
        mask: `(B, T)` bool; false leaves the state as it was.
        reset: `(B, T)` bool; true puts the state back to `initial` before the step.
        scan: `"loop"`, `"associative"`, or `"auto"`, by the device.

    Returns:
        `(h, final)`: all states `(B, T, ...)`, not their logarithms, in the dtype of `log_b`, and
        the last one `(B, ...)` in the accumulation dtype.
    """
    output_dtype, dtype = log_b.dtype, accumulation_dtype(log_b)
    log_a, log_b = ops.cast(log_a, dtype), ops.cast(log_b, dtype)
    zero = ops.cast(LOG_ZERO, dtype)
    old, new = _marked(_LOG, log_a, log_b, None, mask, reset)
    nothing = ops.full_like(log_b[:, 0], zero)
    solve = _differentiable(_LOG, takes_associative_scan(scan, log_b))
    h = ops.exp(solve(maximum(old, zero), maximum(new, zero), nothing))
    if state is not None or initial is not None:
        marks = {"initial": initial, "mask": mask, "reset": reset}
        left, _ = linear_scan(ops.exp(log_a), ops.zeros_like(h), state, **marks, scan=scan)
        h = h + left
    return ops.cast(h, output_dtype), h[:, -1]


def max_plus_scan(
    log_f: Tensor,
    i: Tensor,
    state: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    scan: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Solves `m_t = max(log_f_t + m_{t-1}, i_t)` elementwise, in time linear in T.

    16 bit inputs are accumulated in float32. Where the two sides are equal, the gradient goes
    to `i`.

    Args:
        log_f: Logarithms of the forget gates, of any sign, `(B, T, ...)`.
        i: Logarithms of the input gates, shaped as `log_f`.
        state: `(B, ...)`, `m` before the first step; `initial` by default.
        initial: `(B, ...)`, the value a reset puts back; zeros by default.
        mask: `(B, T)` bool; false leaves the state as it was.
        reset: `(B, T)` bool; true puts the state back to `initial` before the step.
        scan: `"loop"`, `"associative"`, or `"auto"`, by the device.

    Returns:
        `(m, final)`: all states `(B, T, ...)` in the dtype of `i`, and the last one `(B, ...)` in
        the accumulation dtype.

    Raises:
        ValueError: if `log_f` and `i` differ in shape.
    """
    if tuple(log_f.shape) != tuple(i.shape):
        raise ValueError(
            f"`log_f` must have the shape of `i` {tuple(i.shape)}, got {tuple(log_f.shape)}"
        )
    output_dtype, dtype = i.dtype, accumulation_dtype(i)
    log_f, i = ops.cast(log_f, dtype), ops.cast(i, dtype)
    initial = ops.zeros_like(i[:, 0]) if initial is None else ops.cast(initial, dtype)
    state = initial if state is None else ops.cast(state, dtype)
    solve = _differentiable(_MAX_PLUS, takes_associative_scan(scan, i))
    m = solve(*_marked(_MAX_PLUS, log_f, i, initial, mask, reset), state)
    return ops.cast(m, output_dtype), m[:, -1]


def _marked(
    ring: _Semiring,
    a: Tensor,
    b: Tensor,
    initial: Tensor | None,
    mask: Tensor | None,
    reset: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The gates and inputs with which the plain recurrence does what the marks say.

    `initial` is None for the ring's zero.
    """
    new_a, new_b = a, b
    zero, one = (partial(ops.full_like, fill_value=value) for value in (ring.zero, ring.one))
    start = None if initial is None else initial[:, None]
    if reset is not None:
        # The gate of a step after a reset acts on `initial`, and on nothing older.
        if start is not None:
            new_b = ops.where(expand_like(reset, b), ring.plus(ring.times(a, start), b), b)
        new_a = ops.where(expand_like(reset, a), zero(a), a)
    if mask is not None:
        kept_a, kept_b = one(a), zero(b)
        if reset is not None:
            kept_a = ops.where(expand_like(reset, a), zero(a), kept_a)
            if start is not None:
                kept_b = ops.where(expand_like(reset, b), start, kept_b)
        new_a = ops.where(expand_like(mask, a), new_a, kept_a)
        new_b = ops.where(expand_like(mask, b), new_b, kept_b)
    return new_a, new_b


@cache
def _differentiable(ring: _Semiring, associative: bool) -> Callable:
    """`(a, b, state)` to all states of the recurrence, with its gradient."""

    @ops.custom_gradient
    def run(a: Tensor, b: Tensor, state: Tensor) -> tuple[Tensor, Callable]:
        h = _every_state(ring, associative, a, b, state)

        def grad(*args: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, ...]:
            g = args[0] if upstream is None else upstream
            by_state, by_a, by_b = ring.derivatives(a, previous(h, state), b, h)
            d_state, total = _adjoint(associative, by_state, g)
            return total * by_a, total if by_b is None else total * by_b, d_state

        return h, grad

    return run


def _every_state(ring: _Semiring, associative: bool, a: Tensor, b: Tensor, state: Tensor) -> Tensor:
    """Every `h_t`, `(B, T, ...)`, without regard to differentiation."""

    def advance(h: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return ring.plus(ring.times(a, h), b)

    if associative:
        b = ops.concatenate([advance(state[:, None], a[:, :1], b[:, :1]), b[:, 1:]], axis=1)

        def compose(
            earlier: tuple[Tensor, Tensor], later: tuple[Tensor, Tensor]
        ) -> tuple[Tensor, Tensor]:
            return ring.times(earlier[0], later[0]), advance(earlier[1], *later)

        return associative_scan(compose, (a, b))[1]

    def step(h: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        h = advance(h, a, b)
        return h, h

    return time_loop(step, state, (a, b), padding=(ring.one, ring.zero))[1]


def _adjoint(associative: bool, a: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients with respect to the state and to each `h_t`: the scan, backwards in time."""
    if associative:
        following = ops.concatenate([a[:, 1:], ops.ones_like(a[:, :1])], axis=1)
        following, backwards = ops.flip(following, axis=1), ops.flip(upstream, axis=1)
        d_h = _every_state(_LINEAR, True, following, backwards, ops.zeros_like(a[:, 0]))
        d_h = ops.flip(d_h, axis=1)
        return a[:, 0] * d_h[:, 0], d_h

    def step(carry: Tensor, a: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        g = g + carry
        return a * g, g

    start = ops.zeros_like(a[:, 0])
    return time_loop(step, start, (a, upstream), padding=(1, 0), reverse=True)
