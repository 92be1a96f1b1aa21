"""The diagonal linear recurrence `h_t = a_t h_{t-1} + b_t`, plain and in log space.

The scan is a loop over blocks of `UNROLL` steps that reads and writes the `(B, T, ...)` arrays in
place. It is bound by memory traffic: one pass forward, one back, no prefix products, and so no
division and nothing that over- or underflows when gates are 0, 1 or tiny.
"""

import keras
from keras import ops

from common.ops.sequence import (
    accumulation_dtype,
    expand_like,
    from_chunks,
    pad_time,
    to_chunks,
)

# Steps unrolled in one iteration of the loop: enough to hide its overhead, few enough for XLA to
# fuse them into one kernel (16 already take twice as long there as 8).
UNROLL = 8


def linear_scan(a, b, state=None, *, initial=None, mask=None, reset=None):
    """Solves `h_t = a_t * h_{t-1} + b_t` elementwise, in time linear in T.

    16 bit inputs are accumulated in float32.

    Args:
        a: Gates of shape `(B, T, ...)`, broadcastable to `b`. Any value is safe, 0 included.
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
                b_kept = ops.where(
                    expand_like(reset, b), ops.cast(initial, dtype)[:, None], b_kept
                )
        a = ops.where(expand_like(mask, a), a, kept)
        b = ops.where(expand_like(mask, b), b, b_kept)
    if tuple(a.shape) != tuple(b.shape):
        a = ops.broadcast_to(a, ops.shape(b))
    state = initial if state is None else state
    state = ops.zeros_like(b[:, 0]) if state is None else ops.cast(state, dtype)
    h = _differentiable_scan(a, b, state)
    return ops.cast(h, output_dtype), h[:, -1]


def log_linear_scan(log_a, log_b, log_state=None, *, log_initial=None, mask=None, reset=None):
    """Solves `h_t = a_t h_{t-1} + b_t` for positive values given by their logarithms.

    Computes the same as the scan of Heinsen (2023), `log h = a* + logcumsumexp(log b - a*)` with
    `a* = cumsum(log a)`, but step by step, `log h_t = logaddexp(log a_t + log h_{t-1}, log b_t)`,
    so that no `a*` grows with T and eats the precision.

    Args:
        log_a: `(B, T, ...)`, logarithms of the gates.
        log_b: `(B, T, ...)`, logarithms of the inputs.
        log_state: `(B, ...)`, logarithm of `h` before the first step, `-inf` for zero;
            `log_initial` by default.
        log_initial: `(B, ...)`, logarithm of what a reset puts back; `-inf` by default.
        mask: `(B, T)` bool; false leaves the state as it was.
        reset: `(B, T)` bool; true puts the state back before the step.

    Returns:
        `(h, final)`: all states `(B, T, ...)`, not their logarithms, in the dtype of `log_b`, and
        the last one `(B, ...)` in the accumulation dtype.
    """
    output_dtype, dtype = log_b.dtype, accumulation_dtype(log_b)
    log_a, log_b = ops.cast(log_a, dtype), ops.cast(log_b, dtype)
    # A finite stand-in for log 0 keeps differences of infinities out of the gradient.
    zero = ops.cast(_LOG_ZERO, dtype)
    log_initial = (
        ops.full_like(log_b[:, 0], zero)
        if log_initial is None
        else _at_least(ops.cast(log_initial, dtype), zero)
    )
    log_state = (
        log_initial if log_state is None else _at_least(ops.cast(log_state, dtype), zero)
    )
    old, new = log_a, log_b
    if reset is not None:
        started = _logaddexp(log_a + log_initial[:, None], log_b)
        new = ops.where(expand_like(reset, new), started, new)
        old = ops.where(expand_like(reset, old), zero, old)
    if mask is not None:
        kept_old, kept_new = ops.zeros_like(old), ops.full_like(new, zero)
        if reset is not None:
            kept_old = ops.where(expand_like(reset, old), zero, kept_old)
            kept_new = ops.where(expand_like(reset, new), log_initial[:, None], kept_new)
        old = ops.where(expand_like(mask, old), old, kept_old)
        new = ops.where(expand_like(mask, new), new, kept_new)
    log_h = _differentiable_log_scan(_at_least(old, zero), _at_least(new, zero), log_state)
    h = ops.exp(log_h)
    return ops.cast(h, output_dtype), h[:, -1]


_LOG_ZERO = -1e30


@ops.custom_gradient
def _differentiable_scan(a, b, state):
    h = _run(lambda h, a, b: (a * h + b,) * 2, state, (a, b), padding=(1, 0))

    def grad(*args, upstream=None):
        g = args[0] if upstream is None else upstream
        return _scan_gradient(a, h, state, g)

    return h, grad


def _scan_gradient(a, h, state, upstream):
    """Gradients of the scan: the adjoint obeys the same recurrence, backwards in time."""

    def step(carry, a, g):
        g = g + carry
        return a * g, g

    d_state, db = _run(
        step, ops.zeros_like(state), (a, upstream), padding=(1, 0), reverse=True, with_final=True
    )
    return db * _before(h, state), db, d_state


@ops.custom_gradient
def _differentiable_log_scan(log_a, log_b, log_state):
    def step(log_h, log_a, log_b):
        log_h = _logaddexp(log_a + log_h, log_b)
        return log_h, log_h

    log_h = _run(step, log_state, (log_a, log_b), padding=(0, _LOG_ZERO))

    def grad(*args, upstream=None):
        g = args[0] if upstream is None else upstream
        # d log h_t / d log h_{t-1} is the share, in [0, 1], that the old state has in the new.
        old = ops.exp(log_a + _before(log_h, log_state) - log_h)
        new = ops.exp(log_b - log_h)
        d_state, total = _run(
            lambda carry, share, g: (share * (g + carry), g + carry),
            ops.zeros_like(log_state),
            (old, g),
            padding=(1, 0),
            reverse=True,
            with_final=True,
        )
        return total * old, total * new, d_state

    return log_h, grad


# `keras.ops.maximum` and `logaddexp` would round float64 to float32 outside TensorFlow.


def _at_least(x, bound):
    return ops.where(x > bound, x, bound)


def _logaddexp(x, y):
    return ops.where(x > y, x, y) + ops.log1p(ops.exp(-ops.abs(x - y)))


def _before(h, state):
    """The states that the steps started from: `h` moved one step later."""
    return ops.concatenate([state[:, None], h[:, :-1]], axis=1)


def _run(step, carry, xs, padding, reverse=False, with_final=False):
    """Loops `step(carry, *xs_t) -> (carry, y_t)` over time, without regard to differentiation."""
    backend = keras.backend.backend()
    if backend == "jax":
        final, ys = _jax_run(step, carry, xs, reverse)
    elif backend == "tensorflow" and not _tf_eager():
        final, ys = _tf_run(step, carry, xs, padding, reverse)
    else:
        final, ys = _block_step(step, carry, xs, reverse)
    return (final, ys) if with_final else ys


def _block_step(step, carry, xs, reverse):
    """Runs `step` over axis 1 of `xs`, unrolled."""
    columns = list(zip(*(ops.unstack(x, axis=1) for x in xs), strict=True))
    ys = []
    for column in reversed(columns) if reverse else columns:
        carry, y = step(carry, *column)
        ys.append(y)
    return carry, ops.stack(ys[::-1] if reverse else ys, axis=1)


def _jax_run(step, carry, xs, reverse):
    import jax
    import jax.numpy as jnp

    final, ys = jax.lax.scan(
        lambda carry, columns: step(carry, *columns),
        carry,
        tuple(jnp.swapaxes(x, 0, 1) for x in xs),
        reverse=reverse,
        unroll=UNROLL,
    )
    return final, jnp.swapaxes(ys, 0, 1)


def _tf_eager() -> bool:
    import tensorflow as tf

    return tf.executing_eagerly()


def _tf_run(step, carry, xs, padding, reverse):
    import tensorflow as tf

    length = ops.shape(xs[0])[1]
    blocks = [to_chunks(pad_time(x, UNROLL, p), UNROLL) for x, p in zip(xs, padding, strict=True)]
    count = tf.shape(blocks[0])[1]
    shape = blocks[0].shape
    ys = tf.TensorArray(xs[0].dtype, count, element_shape=shape[:1] + shape[2:])

    def body(i, carry, ys):
        n = count - 1 - i if reverse else i
        # Slicing the whole array here, not unstacking it beforehand, spares a transposed copy.
        new_carry, block = _block_step(step, carry, [x[:, n] for x in blocks], reverse)
        return i + 1, tf.ensure_shape(new_carry, carry.shape), ys.write(n, block)

    _, final, ys = tf.while_loop(
        lambda i, *_: i < count, body, (0, carry, ys), maximum_iterations=count
    )
    stacked = ys.stack()  # (N, B, C, ...)
    stacked = tf.transpose(stacked, (1, 0, *range(2, len(stacked.shape))))
    return final, from_chunks(stacked, length)
