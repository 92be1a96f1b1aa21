"""`scan`: a differentiable loop over time on nested structures, the same on every backend."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops, tree

Nest = Any
Body = Callable[[Nest, Nest], tuple[Nest, Nest]]


def scan(body: Body, initial: Nest, xs: Nest) -> tuple[Nest, Nest]:
    """Loops `body` over the time axis and stacks what it emits.

    `keras.ops.scan` cannot be differentiated under TensorFlow's XLA, because its loop does not
    state its trip count; this one can, in eager mode, in a `tf.function` with unknown batch and
    length, and under `jit_compile=True`. The graph's size does not depend on the length.

    Args:
        body: `(carry, x) -> (carry, y)`, where `carry` keeps its structure, shapes and dtypes
            and `x` is `xs` at one time step. `y` may be any nested structure of tensors.
        initial: Nested structure of tensors, the carry before the first step.
        xs: Nested structure of tensors of shape `(B, T, ...)`, at least one, T at least 1.

    Returns:
        `(carry, ys)`: the carry after the last step, and what the steps emitted, stacked to
        shape `(B, T, ...)`.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        return _jax_scan(body, initial, xs)
    if backend == "tensorflow":
        import tensorflow as tf

        if not tf.executing_eagerly():
            return _tf_scan(body, initial, xs)
    return _python_scan(body, initial, xs)


def swap_batch_and_time(x):
    """Transposes `(B, T, ...)` to `(T, B, ...)`, or back."""
    return ops.transpose(x, (1, 0, *range(2, len(x.shape))))


def _jax_scan(body: Body, initial: Nest, xs: Nest) -> tuple[Nest, Nest]:
    import jax

    carry, ys = jax.lax.scan(body, initial, tree.map_structure(swap_batch_and_time, xs))
    return carry, tree.map_structure(swap_batch_and_time, ys)


def _python_scan(body: Body, initial: Nest, xs: Nest) -> tuple[Nest, Nest]:
    # Unstacking once makes the gradient one stack; slicing in the loop would make it a sum of
    # T zero-padded tensors, quadratic in T.
    columns = [ops.unstack(x, axis=1) for x in tree.flatten(xs)]
    carry, emitted = initial, []
    for column in zip(*columns, strict=True):
        carry, y = body(carry, tree.pack_sequence_as(xs, list(column)))
        emitted.append(y)
    return carry, tree.map_structure(lambda *y: ops.stack(y, axis=1), *emitted)


def _tf_scan(body: Body, initial: Nest, xs: Nest) -> tuple[Nest, Nest]:
    import tensorflow as tf

    flat_xs = tree.flatten(xs)
    flat_initial = [ops.convert_to_tensor(x) for x in tree.flatten(initial)]
    length = flat_xs[0].shape[1] or tf.shape(flat_xs[0])[1]

    def flat_body(flat_carry, columns):
        carry, y = body(
            tree.pack_sequence_as(initial, flat_carry), tree.pack_sequence_as(xs, columns)
        )
        # The loop wants every carry as precisely shaped as it came in.
        flat_carry = [
            new if new.shape.as_list() == old.shape.as_list() else tf.ensure_shape(new, old.shape)
            for new, old in zip(tree.flatten(carry), flat_initial, strict=True)
        ]
        return flat_carry, y

    emitted = _tf_emitted_spec(flat_body, flat_initial, flat_xs)
    sources = [
        tf.TensorArray(x.dtype, size=length, element_shape=x.shape[:1] + x.shape[2:]).unstack(
            swap_batch_and_time(x)
        )
        for x in flat_xs
    ]
    targets = [
        tf.TensorArray(y.dtype, size=length, element_shape=y.shape) for y in tree.flatten(emitted)
    ]

    def loop_body(t, flat_carry, targets):
        flat_carry, y = flat_body(flat_carry, [source.read(t) for source in sources])
        targets = [target.write(t, v) for target, v in zip(targets, tree.flatten(y), strict=True)]
        return t + 1, flat_carry, targets

    # XLA can only differentiate a loop whose `maximum_iterations` it knows.
    _, flat_carry, targets = tf.while_loop(
        lambda t, *_: t < length,
        loop_body,
        (tf.constant(0), flat_initial, targets),
        maximum_iterations=length,
    )
    ys = [swap_batch_and_time(target.stack()) for target in targets]
    return tree.pack_sequence_as(initial, flat_carry), tree.pack_sequence_as(emitted, ys)


def _tf_emitted_spec(flat_body, flat_initial, flat_xs) -> Nest:
    """Traces one step to learn what it emits, which the loop's arrays must know beforehand."""
    import tensorflow as tf

    carry_spec = [tf.TensorSpec(x.shape, x.dtype) for x in flat_initial]
    column_spec = [tf.TensorSpec(x.shape[:1] + x.shape[2:], x.dtype) for x in flat_xs]
    traced = tf.function(lambda carry, columns: flat_body(carry, columns)[1], autograph=False)
    return traced.get_concrete_function(carry_spec, column_spec).structured_outputs
