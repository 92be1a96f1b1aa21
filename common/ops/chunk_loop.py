"""Loops over the chunks of the chunkwise forms, for ops with a custom gradient."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

# So few chunks are faster without a loop in a TensorFlow graph.
_FEW = 4


def chunk_loop(
    step: Callable, carry, xs: tuple, reverse: bool = False
) -> tuple[Any, tuple[Any, ...]]:
    """Loops `step` over axis 0; not to be differentiated.

    `time_loop` unrolls several steps in one iteration; a chunk is work enough for its own.

    Args:
        step: `(carry, *x) -> (carry, y)`, all tensors but `y`, a tuple of tensors.
        carry: The carry before the first step.
        xs: Tensors of shape `(N, ...)`.
        reverse: Whether to go from the last to the first.

    Returns:
        `(carry, ys)`: the last carry, and the tuple of every `y`, stacked in order of `xs`.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.lax.scan(lambda carry, x: step(carry, *x), carry, xs, reverse=reverse)
    if backend == "tensorflow":
        import tensorflow as tf

        few = xs[0].shape[0] is not None and xs[0].shape[0] <= _FEW
        if not tf.executing_eagerly() and not few:
            return _tf_loop(step, carry, xs, reverse)
    emitted = []
    for x in list(zip(*map(ops.unstack, xs), strict=True))[:: -1 if reverse else 1]:
        carry, y = step(carry, *x)
        emitted.append(y)
    columns = zip(*emitted[:: -1 if reverse else 1], strict=True)
    return carry, tuple(ops.stack(column) for column in columns)


def states_before(added, state, kept=None) -> tuple[Any, Any]:
    """The states before each chunk and after the last, of `S_n = kept_n S_{n-1} + added_n`.

    Args:
        added: What each chunk writes, `(N, B, ...)`.
        state: `(B, ...)`.
        kept: What a chunk keeps of the state before it, broadcastable to `added`; None keeps all.

    Returns:
        `(before, final)`: `(N, B, ...)` and `(B, ...)`.
    """

    def step(state, added, *kept):
        return (kept[0] * state if kept else state) + added, (state,)

    @ops.custom_gradient
    def before_each(added, state, *kept):
        _, (before,) = chunk_loop(step, state, (added, *kept))

        def grad(*args, upstream=None):
            g = args[0] if upstream is None else upstream
            # The adjoint goes back by the same recurrence.
            d_state, (d_added,) = chunk_loop(step, ops.zeros_like(state), (g, *kept), reverse=True)
            if not kept:
                return d_added, d_state
            shapes = zip(added.shape, kept[0].shape, strict=True)
            broadcast = [i for i, (size, own) in enumerate(shapes) if own == 1 and size != 1]
            d_kept = ops.sum(d_added * before, axis=broadcast, keepdims=True)
            return d_added, d_state, d_kept

        return before, grad

    gates = () if kept is None else (kept,)
    before = before_each(added, state, *gates)
    final, _ = step(before[-1], added[-1], *(gate[-1] for gate in gates))
    return before, final


def _tf_loop(step, carry, xs, reverse):
    import tensorflow as tf

    count = xs[0].shape[0] or tf.shape(xs[0])[0]
    # One step beside the loop tells what it emits; its values are pruned.
    _, emitted = step(carry, *(x[0] for x in xs))
    arrays = [tf.TensorArray(y.dtype, count, element_shape=y.shape) for y in emitted]

    def body(i, carry, arrays):
        n = count - 1 - i if reverse else i
        new, ys = step(carry, *(x[n] for x in xs))
        arrays = [array.write(n, y) for array, y in zip(arrays, ys, strict=True)]
        return i + 1, tf.ensure_shape(new, carry.shape), arrays

    # XLA can only place the results of a loop whose `maximum_iterations` it knows.
    _, carry, arrays = tf.while_loop(
        lambda i, *_: i < count, body, (0, carry, arrays), maximum_iterations=count
    )
    return carry, tuple(array.stack() for array in arrays)
