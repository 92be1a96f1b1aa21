"""`switch`: one of several functions, with a gradient that every compiler takes."""

from collections.abc import Callable, Sequence
from functools import partial

import keras
from keras import ops, tree

from common.typing import Nest, Tensor


def switch(index: Tensor, branches: Sequence[Callable], *args: Tensor) -> Nest:
    """`branches[index](*args)`, of which only that one is computed.

    TensorFlow hands what its gradient needs out of the branch that was taken, with shapes that XLA
    no longer knows: it fails where the batch is free and turns out to be 1. Here the gradient
    recomputes the branch from the arguments.

    Args:
        index: Integer scalar tensor.
        branches: Functions of `args` whose results, tensors or tuples of tensors, are shaped
            alike. They draw no random numbers; what they close over is not differentiated.
        *args: Floating point tensors.
    """
    if keras.backend.backend() != "tensorflow":
        return ops.switch(index, list(branches), *args)
    import tensorflow as tf

    def gradient(
        branch: Callable, args: tuple[Tensor, ...], upstream: tuple[Tensor, ...]
    ) -> list[Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(args)
            outputs = tree.flatten(branch(*args))
        return tape.gradient(outputs, args, upstream, unconnected_gradients="zero")

    @tf.custom_gradient
    def run(*args: Tensor) -> tuple[Nest, Callable]:
        outputs = tf.switch_case(index, [partial(branch, *args) for branch in branches])

        def grad(*upstream: Tensor) -> list[Tensor]:
            back = [partial(gradient, branch, args, upstream) for branch in branches]
            return tf.switch_case(index, back)

        return outputs, grad

    return run(*map(ops.convert_to_tensor, args))
