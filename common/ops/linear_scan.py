"""The diagonal linear recurrence `h_t = a_t h_{t-1} + b_t`, plain and in log space.

On a CPU both directions are one pass over memory, step by step. On an accelerator they are prefix
sums in log T passes, of `(a, b) (a', b') = (a a', a' b + b')`: products of gates appear, but
nothing is divided by one, so that gates of 0, 1 or tiny ones are exact.
"""

from operator import add, mul

from keras import ops

from common.ops.prefix_sums import prefers_prefix_sums
from common.ops.recurrence import every_state
from common.ops.sequence import accumulation_dtype, expand_like
from common.ops.time_loop import time_loop

# A finite stand-in for log 0, which keeps differences of infinities out of the gradient.
_LOG_ZERO = -1e30


def linear_scan(a, b, state=None, *, initial=None, mask=None, reset=None):
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

    Returns:
        `(h, final)`: all states `(B, T, ...)` in the dtype of `b`, and the last one `(B, ...)` in
        the accumulation dtype.
    """
    output_dtype, dtype = b.dtype, accumulation_dtype(b)
    a, b = ops.cast(a, dtype), ops.cast(b, dtype)
    if reset is not None:
        # The gate of a step after a reset acts on `initial`, and on nothing older.
        if initial is not None:
            b = ops.where(expand_like(reset, b), b + a * ops.cast(initial, dtype)[:, None], b)
        a = ops.where(expand_like(reset, a), ops.zeros_like(a), a)
    if mask is not None:
        kept = ops.ones_like(a)
        b_kept = ops.zeros_like(b)
        if reset is not None:
            kept = ops.where(expand_like(reset, a), ops.zeros_like(a), kept)
            if initial is not None:
                b_kept = ops.where(expand_like(reset, b), ops.cast(initial, dtype)[:, None], b_kept)
        a = ops.where(expand_like(mask, a), a, kept)
        b = ops.where(expand_like(mask, b), b, b_kept)
    if tuple(a.shape) != tuple(b.shape):
        a = ops.broadcast_to(a, ops.shape(b))
    state = initial if state is None else state
    state = ops.zeros_like(b[:, 0]) if state is None else ops.cast(state, dtype)
    h = _differentiable_scan(a, b, state)
    return ops.cast(h, output_dtype), h[:, -1]


def log_linear_scan(log_a, log_b, state=None, *, initial=None, mask=None, reset=None):
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

    Returns:
        `(h, final)`: all states `(B, T, ...)`, not their logarithms, in the dtype of `log_b`, and
        the last one `(B, ...)` in the accumulation dtype.
    """
    output_dtype, dtype = log_b.dtype, accumulation_dtype(log_b)
    log_a, log_b = ops.cast(log_a, dtype), ops.cast(log_b, dtype)
    zero = ops.cast(_LOG_ZERO, dtype)
    old, new = log_a, log_b
    if reset is not None:
        old = ops.where(expand_like(reset, old), zero, old)
    if mask is not None:
        kept = ops.zeros_like(old)
        if reset is not None:
            kept = ops.where(expand_like(reset, old), zero, kept)
        old = ops.where(expand_like(mask, old), old, kept)
        new = ops.where(expand_like(mask, new), new, zero)
    nothing = ops.full_like(log_b[:, 0], zero)
    h = ops.exp(_differentiable_log_scan(_at_least(old, zero), _at_least(new, zero), nothing))
    if state is not None or initial is not None:
        left, _ = linear_scan(
            ops.exp(log_a), ops.zeros_like(h), state, initial=initial, mask=mask, reset=reset
        )
        h = h + left
    return ops.cast(h, output_dtype), h[:, -1]


@ops.custom_gradient
def _differentiable_scan(a, b, state):
    h = every_state(_multiply_add, mul, a, b, state, padding=(1, 0))

    def grad(*args, upstream=None):
        g = args[0] if upstream is None else upstream
        d_state, db = _adjoint(a, g)
        return db * _before(h, state), db, d_state

    return h, grad


@ops.custom_gradient
def _differentiable_log_scan(log_a, log_b, log_state):
    # Sums of stand-ins for log 0 stay finite, and as good as log 0.
    log_h = every_state(_log_multiply_add, add, log_a, log_b, log_state, padding=(0, _LOG_ZERO))

    def grad(*args, upstream=None):
        g = args[0] if upstream is None else upstream
        # d log h_t / d log h_{t-1} is the share, in [0, 1], that the old state has in the new.
        old = ops.exp(log_a + _before(log_h, log_state) - log_h)
        new = ops.exp(log_b - log_h)
        d_state, total = _adjoint(old, g)
        return total * old, total * new, d_state

    return log_h, grad


def _adjoint(a, upstream):
    """Gradients with respect to the state and to each `h_t`: the scan, backwards in time."""
    if prefers_prefix_sums(upstream):
        following = ops.concatenate([a[:, 1:], ops.ones_like(a[:, :1])], axis=1)
        following, backwards = ops.flip(following, axis=1), ops.flip(upstream, axis=1)
        zero = ops.zeros_like(a[:, 0])
        d_h = every_state(_multiply_add, mul, following, backwards, zero, padding=(1, 0))
        d_h = ops.flip(d_h, axis=1)
        return a[:, 0] * d_h[:, 0], d_h

    def step(carry, a, g):
        g = g + carry
        return a * g, g

    start = ops.zeros_like(a[:, 0])
    return time_loop(step, start, (a, upstream), padding=(1, 0), reverse=True)


def _multiply_add(a, h, b):
    return a * h + b


def _log_multiply_add(log_a, log_h, log_b):
    return _logaddexp(log_a + log_h, log_b)


# `keras.ops.maximum` and `logaddexp` would round float64 to float32 outside TensorFlow.


def _at_least(x, bound):
    return ops.where(x > bound, x, bound)


def _logaddexp(x, y):
    return ops.where(x > y, x, y) + ops.log1p(ops.exp(-ops.abs(x - y)))


def _before(h, state):
    """The states that the steps started from: `h` moved one step later."""
    return ops.concatenate([state[:, None], h[:, :-1]], axis=1)
