"""Values and gradients of a function as numpy arrays, the same way on every backend."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops, tree


def gradients(
    f: Callable[..., Any],
    args: Sequence[np.ndarray],
    mode: str = "eager",
    shapes: Sequence[tuple[int | None, ...]] | None = None,
    upstream: Sequence[np.ndarray] | None = None,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Runs `f(*args)` and differentiates a fixed weighted sum of what it returns.

    Args:
        f: Takes tensors, returns a nested structure of tensors. Integer and boolean outputs are
            returned but do not enter the sum.
        args: Floating point arrays, each of them differentiated.
        mode: TensorFlow's "eager", "graph" (`tf.function`) or "xla" (`jit_compile=True`). JAX
            always runs jitted, torch always eagerly.
        shapes: TensorFlow's "graph" only: the shapes to trace with, None where unknown.
        upstream: Weights of the sum, an array for each of the flat outputs, all floating point;
            by default those of `weighted_sum`.

    Returns:
        `(outputs, grads)`: the flat outputs, and the gradient with respect to each argument,
        zeros where there is none.
    """
    return {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()](
        f, args, mode, shapes, lambda outputs: weighted_sum(outputs, upstream)
    )


def weighted_sum(outputs, upstream=None) -> Any:
    """Sum of all floating point outputs with fixed weights in [-1, 1] that depend on position.

    Or with the weights `upstream`.
    """
    total = 0.0
    if upstream is not None:
        for output, weights in zip(outputs, upstream, strict=True):
            total = total + ops.sum(output * ops.convert_to_tensor(weights))
        return total
    for output in outputs:
        for x in _real_parts(output):
            x = ops.reshape(x, (-1,))
            index = ops.arange(ops.shape(x)[0], dtype="int32")
            weights = ops.cast(index % 1009 * 7919 % 1009, x.dtype) / 504 - 1
            total = total + ops.sum(x * weights)
    return total


def _real_parts(x):
    dtype = keras.backend.standardize_dtype(x.dtype)
    if "complex" in dtype:
        return [ops.real(x), ops.imag(x)]
    return [x] if "float" in dtype else []


def _flat(f, tensors):
    return [ops.convert_to_tensor(y) for y in tree.flatten(f(*tensors))]


def _tensorflow(f, args, mode, shapes, total):
    import tensorflow as tf

    def run(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            outputs = _flat(f, tensors)
            loss = total(outputs)
        return outputs, tape.gradient(loss, tensors, unconnected_gradients="zero")

    if mode == "graph":
        shapes = shapes or [x.shape for x in args]
        specs = [tf.TensorSpec(s, x.dtype) for s, x in zip(shapes, args, strict=True)]
        run = tf.function(run, input_signature=specs, autograph=False)
    elif mode == "xla":
        run = tf.function(run, jit_compile=True, autograph=False)
    outputs, grads = run(*[tf.constant(x) for x in args])
    return [y.numpy() for y in outputs], [g.numpy() for g in grads]


def _jax(f, args, mode, shapes, total):
    import jax

    def loss(*tensors):
        outputs = _flat(f, tensors)
        return total(outputs), outputs

    run = jax.jit(jax.grad(loss, argnums=tuple(range(len(args))), has_aux=True))
    grads, outputs = run(*[jax.numpy.asarray(x) for x in args])
    return [np.asarray(y) for y in outputs], [np.asarray(g) for g in grads]


def _torch(f, args, mode, shapes, total):
    import torch

    tensors = [ops.convert_to_tensor(x).requires_grad_() for x in args]
    outputs = _flat(f, tensors)
    grads = torch.autograd.grad(total(outputs), tensors, allow_unused=True)
    return (
        [y.detach().cpu().numpy() for y in outputs],
        [
            np.zeros_like(x) if g is None else g.cpu().numpy()
            for x, g in zip(args, grads, strict=True)
        ],
    )
