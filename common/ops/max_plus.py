"""The max-plus recurrence `m_t = max(a_t + m_{t-1}, b_t)`: the log of a gated sum's largest term.

Exponential gates are kept in range by dividing the state by `exp(m_t)`, where m is the logarithm of
the largest weight that any step has in it (Beck 2024, eq. 15; Milakov 2018).
"""

from operator import add

from keras import ops

from common.ops.linear_scan import _adjoint, _before
from common.ops.recurrence import every_state
from common.ops.sequence import accumulation_dtype, expand_like

# A finite stand-in for log 0, which keeps differences of infinities out of the gradient.
LOG_ZERO = -1e30


def max_plus_scan(log_f, i, state=None, *, initial=None, mask=None, reset=None):
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
    nothing = ops.full_like(i, LOG_ZERO)
    old, new = log_f, i
    if reset is not None:
        # A step after a reset compares with `initial`, and with nothing older.
        forgets = expand_like(reset, i)
        new = ops.where(forgets, maximum(log_f + initial[:, None], i), new)
        old = ops.where(forgets, nothing, old)
    if mask is not None:
        kept_old, kept_new = ops.zeros_like(i), nothing
        if reset is not None:
            kept_old = ops.where(forgets, nothing, kept_old)
            kept_new = ops.where(forgets, initial[:, None], kept_new)
        seen = expand_like(mask, i)
        old, new = ops.where(seen, old, kept_old), ops.where(seen, new, kept_new)
    m = _differentiable_scan(old, new, state)
    return ops.cast(m, output_dtype), m[:, -1]


def maximum(x, y):
    """The larger of two tensors of one dtype, `y` where they are equal."""
    # `keras.ops.maximum` would round float64 to float32 outside TensorFlow.
    return ops.where(x > y, x, y)


@ops.custom_gradient
def _differentiable_scan(log_f, i, state):
    m = every_state(_add_or_replace, add, log_f, i, state, padding=(0, LOG_ZERO))

    def grad(*args, upstream=None):
        g = args[0] if upstream is None else upstream
        # dm_t / dm_{t-1} is 1 where the maximum took the old state, else 0: a linear scan's gates.
        won = ops.cast(log_f + _before(m, state) > i, m.dtype)
        d_state, total = _adjoint(won, g)
        return total * won, total * (1 - won), d_state

    return m, grad


def _add_or_replace(log_f, m, i):
    return maximum(log_f + m, i)
