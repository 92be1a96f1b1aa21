"""`time_loop`: a fast loop over time for ops with a custom gradient."""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops, tree

from common.ops.sequence import from_chunks, pad_time, to_chunks

Nest = Any

# Steps unrolled in one iteration: enough to hide the loop's overhead, few enough for XLA to fuse
# them into one kernel (16 take twice as long there as 8).
UNROLL = 8


def time_loop(
    step: Callable,
    carry: Nest,
    xs: tuple,
    padding: tuple[float, ...],
    reverse: bool = False,
    unroll: int = UNROLL,
) -> tuple[Nest, Nest]:
    """Loops `step` over axis 1; not to be differentiated.

    Arrays are read in place, block by block, and never transposed: a loop of cheap steps is bound
    by memory traffic. `scan` is the loop that can be differentiated.

    Args:
        step: `(carry, *x) -> (carry, y)`; `y` is any nested structure of tensors.
        carry: Nested structure of tensors `(B, ...)`, the carry before the first step.
        xs: Tensors of shape `(B, T, ...)`.
        padding: For each of `xs`, the value with which a step leaves the carry as it is; T is
            padded to a whole number of blocks.
        reverse: Whether to go from the last step to the first.
        unroll: Steps of a block at most, which one iteration runs. Products gain nothing from
            large ones.

    Returns:
        `(carry, ys)`: the last carry, and every `y`, stacked to `(B, T, ...)` in order of time.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        return _jax_loop(step, carry, xs, reverse, unroll)
    if backend == "tensorflow":
        import tensorflow as tf

        if not tf.executing_eagerly():
            return _tf_loop(step, carry, xs, padding, reverse, unroll)
    return _unrolled(step, carry, xs, reverse)


def _unrolled(step, carry, xs, reverse):
    columns = list(zip(*(ops.unstack(x, axis=1) for x in xs), strict=True))
    ys = []
    for column in reversed(columns) if reverse else columns:
        carry, y = step(carry, *column)
        ys.append(y)
    return carry, tree.map_structure(lambda *y: _stack(y), *(ys[::-1] if reverse else ys))


def _stack(ys):
    """`ops.stack(ys, axis=1)`, through a concatenation of the last axis.

    XLA copies such a concatenation piece by piece. One along axis 1 it fuses into the loop's
    write, element by element, with every earlier step recomputed for each element.
    """
    shape = ops.shape(ys[0])
    size = math.prod(ys[0].shape[1:])
    joined = ops.concatenate([ops.reshape(y, (shape[0], size)) for y in ys], axis=1)
    return ops.reshape(joined, (shape[0], len(ys), *ys[0].shape[1:]))


def _jax_loop(step, carry, xs, reverse, unroll):
    import jax
    import jax.numpy as jnp

    carry, ys = jax.lax.scan(
        lambda carry, column: step(carry, *column),
        carry,
        tuple(jnp.swapaxes(x, 0, 1) for x in xs),
        reverse=reverse,
        unroll=unroll,
    )
    return carry, tree.map_structure(lambda y: jnp.swapaxes(y, 0, 1), ys)


def _tf_loop(step, carry, xs, padding, reverse, unroll):
    import tensorflow as tf

    length = ops.shape(xs[0])[1]
    if isinstance(length, int) and length > 0:
        # Blocks no longer than they must be: the chunkwise forms loop over few steps, but large.
        unroll = math.ceil(length / math.ceil(length / unroll))
        if length == unroll:
            return _unrolled(step, carry, xs, reverse)
    blocks = [to_chunks(pad_time(x, unroll, p), unroll) for x, p in zip(xs, padding, strict=True)]
    count = ops.shape(blocks[0])[1]
    # One step beside the loop tells what it emits; its values are pruned.
    _, example = step(carry, *(x[:, 0] for x in xs))
    flat_carry, flat_example = tree.flatten(carry), tree.flatten(example)
    results = (_Placed if _compiles_with_xla() else _Collected)(flat_example, xs, count, unroll)

    def body(i, flat_carry, arrays):
        n = count - 1 - i if reverse else i
        # Slicing here, not unstacking into a `TensorArray` beforehand, spares a transposed copy.
        new, ys = _unrolled(
            step, tree.pack_sequence_as(carry, flat_carry), [x[:, n] for x in blocks], reverse
        )
        new = [
            tf.ensure_shape(value, old.shape)
            for value, old in zip(tree.flatten(new), flat_carry, strict=True)
        ]
        return i + 1, new, results.write(arrays, n, tree.flatten(ys))

    # XLA can only place the results of a loop whose `maximum_iterations` it knows.
    _, flat_carry, arrays = tf.while_loop(
        lambda i, *_: i < count, body, (0, flat_carry, results.start), maximum_iterations=count
    )
    ys = results.read(arrays, length)
    return tree.pack_sequence_as(carry, flat_carry), tree.pack_sequence_as(example, ys)


def _compiles_with_xla() -> bool:
    """Whether the graph that is being traced is compiled with XLA as a whole."""
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util

    graph = tf.compat.v1.get_default_graph()
    return bool(control_flow_util.GraphOrParentsInXlaContext(graph))


class _Collected:
    """Results of blocks in `TensorArray`s, block by block, and in order of time at the end."""

    def __init__(self, example, xs, count, unroll):
        import tensorflow as tf

        self.start = [
            tf.TensorArray(y.dtype, count, element_shape=[y.shape[0], unroll, *y.shape[1:]])
            for y in example
        ]

    def write(self, arrays, n, ys):
        return [array.write(n, y) for array, y in zip(arrays, ys, strict=True)]

    def read(self, arrays, length):
        return [from_chunks(ops.swapaxes(array.stack(), 0, 1), length) for array in arrays]


class _Placed:
    """Results of blocks at their places in arrays over all time, which XLA updates in place.

    Outside XLA every update would copy the array.
    """

    def __init__(self, example, xs, count, unroll):
        self.unroll = unroll
        # Zeros that XLA does not know as such: of equal arrays it makes one and then a copy for
        # each loop. All of it is overwritten, so a NaN does no harm.
        zero = sum(0 * ops.cast(ops.ravel(x)[0], example[0].dtype) for x in xs)
        self.start = [
            ops.broadcast_to(
                ops.cast(zero, y.dtype), (ops.shape(y)[0], count * unroll, *y.shape[1:])
            )
            for y in example
        ]

    def write(self, arrays, n, ys):
        return [
            ops.slice_update(array, (0, n * self.unroll, *(0 for _ in array.shape[2:])), y)
            for array, y in zip(arrays, ys, strict=True)
        ]

    def read(self, arrays, length):
        return [array[:, :length] for array in arrays]
