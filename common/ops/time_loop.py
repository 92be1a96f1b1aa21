"""`time_loop`: a fast loop over time for ops that write their own gradient."""

from collections.abc import Callable

import keras
from keras import ops

from common.ops.sequence import from_chunks, pad_time, to_chunks

# Steps unrolled in one iteration: enough to hide the loop's overhead, few enough for XLA to fuse
# them into one kernel (16 take twice as long there as 8).
UNROLL = 8


def time_loop(
    step: Callable,
    carry,
    xs: tuple,
    padding: tuple[float, ...],
    reverse: bool = False,
):
    """Loops `step` over axis 1, without regard to differentiation.

    Arrays are read in place, block by block, and never transposed: a loop of cheap steps is bound
    by memory traffic. `scan` is the loop that can be differentiated.

    Args:
        step: `(carry, *x) -> (carry, y)`, each one tensor.
        carry: `(B, ...)`, the carry before the first step.
        xs: Tensors of shape `(B, T, ...)`.
        padding: For each of `xs`, the value with which a step leaves the carry as it is; T is
            padded to a whole number of blocks.
        reverse: Whether to go from the last step to the first.

    Returns:
        `(carry, ys)`: the last carry, and every `y`, stacked to `(B, T, ...)` in order of time.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        return _jax_loop(step, carry, xs, reverse)
    if backend == "tensorflow":
        import tensorflow as tf

        if not tf.executing_eagerly():
            return _tf_loop(step, carry, xs, padding, reverse)
    return _unrolled(step, carry, xs, reverse)


def _unrolled(step, carry, xs, reverse):
    columns = list(zip(*(ops.unstack(x, axis=1) for x in xs), strict=True))
    ys = []
    for column in reversed(columns) if reverse else columns:
        carry, y = step(carry, *column)
        ys.append(y)
    return carry, ops.stack(ys[::-1] if reverse else ys, axis=1)


def _jax_loop(step, carry, xs, reverse):
    import jax
    import jax.numpy as jnp

    carry, ys = jax.lax.scan(
        lambda carry, column: step(carry, *column),
        carry,
        tuple(jnp.swapaxes(x, 0, 1) for x in xs),
        reverse=reverse,
        unroll=UNROLL,
    )
    return carry, jnp.swapaxes(ys, 0, 1)


def _tf_loop(step, carry, xs, padding, reverse):
    import tensorflow as tf

    length = ops.shape(xs[0])[1]
    blocks = [to_chunks(pad_time(x, UNROLL, p), UNROLL) for x, p in zip(xs, padding, strict=True)]
    count = tf.shape(blocks[0])[1]
    ys = tf.TensorArray(carry.dtype, count, infer_shape=False)

    def body(i, carry, ys):
        n = count - 1 - i if reverse else i
        # Slicing here, not unstacking into a `TensorArray` beforehand, spares a transposed copy.
        new_carry, block = _unrolled(step, carry, [x[:, n] for x in blocks], reverse)
        return i + 1, tf.ensure_shape(new_carry, carry.shape), ys.write(n, block)

    # XLA can only place the results of a loop whose `maximum_iterations` it knows.
    _, carry, ys = tf.while_loop(
        lambda i, *_: i < count, body, (0, carry, ys), maximum_iterations=count
    )
    stacked = ys.stack()  # (N, B, C, ...)
    return carry, from_chunks(
        tf.transpose(stacked, (1, 0, *range(2, carry.shape.rank + 2))), length
    )
