"""Loops along one axis of nested tensors, one implementation a backend, and what stands on them.

- `time_loop`: over time, several steps in an iteration, for ops that write their own gradient;
- `chunk_loop`: over the chunks of the chunkwise forms, for the same;
- `common.ops.scan.scan`: over time, differentiable.

TensorFlow's is a `tf.while_loop`, in a graph only: eagerly the loop is Python's, as on torch.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import keras
from keras import ops, tree

from common.ops.time_axis import from_chunks, pad_time, to_chunks
from common.typing import Nest, Size, Tensor

# Steps unrolled in one iteration: enough to hide the loop's overhead, few enough for XLA to fuse
# them into one kernel (16 take twice as long there as 8).
UNROLL = 8
# So few chunks are faster without a loop in a TensorFlow graph.
_FEW = 4
# How a recurrence whose steps compose goes over time.
SCANS = ("auto", "loop", "associative")


def time_loop(
    step: Callable,
    carry: Nest,
    xs: tuple[Tensor, ...],
    padding: tuple[float, ...],
    reverse: bool = False,
    unroll: int = UNROLL,
) -> tuple[Nest, Nest]:
    """Loops `step` over axis 1, without regard to differentiation.

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

    def block_step(carry: Nest, x: tuple[Tensor, ...]) -> tuple[Nest, Nest]:
        return step(carry, *x)

    if keras.backend.backend() == "jax":
        return jax_loop(block_step, carry, xs, axis=1, reverse=reverse, unroll=unroll)
    length = ops.shape(xs[0])[1]
    one_block = False
    if isinstance(length, int) and length > 0:
        # Blocks no longer than they must be: the chunkwise forms loop over few steps, but large.
        unroll = math.ceil(length / math.ceil(length / unroll))
        one_block = length == unroll
    if one_block or not in_tf_graph():
        return python_loop(block_step, carry, xs, axis=1, reverse=reverse, stack=_stack_steps)
    blocks = tuple(
        to_chunks(pad_time(x, unroll, p), unroll) for x, p in zip(xs, padding, strict=True)
    )
    count = ops.shape(blocks[0])[1]
    # One step beside the loop tells what it emits; its values are pruned.
    _, example = step(carry, *(x[:, 0] for x in xs))
    flat = tree.flatten(example)
    results = (
        _Placed(flat, xs, count, unroll)
        if _compiles_with_xla()
        else Collected([((y.shape[0], unroll, *y.shape[1:]), y.dtype) for y in flat], count)
    )

    def unrolled(carry: Nest, block: tuple[Tensor, ...]) -> tuple[Nest, Nest]:
        return python_loop(block_step, carry, block, axis=1, reverse=reverse, stack=_stack_steps)

    # Slicing in the loop, not unstacking into a `TensorArray` before, spares a transposed copy.
    carry, arrays = tf_loop(unrolled, carry, blocks, count, results, axis=1, reverse=reverse)
    ys = [results.in_time(array, length) for array in arrays]
    return carry, tree.pack_sequence_as(example, ys)


def chunk_loop(
    step: Callable, carry: Tensor, xs: tuple[Tensor, ...], reverse: bool = False
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Loops `step` over axis 0, without regard to differentiation.

    `time_loop` unrolls several steps in one iteration; a chunk is work enough for its own.

    Args:
        step: `(carry, *x) -> (carry, y)`, all tensors but `y`, a tuple of tensors.
        carry: The carry before the first step.
        xs: Tensors of shape `(N, ...)`.
        reverse: Whether to go from the last to the first.

    Returns:
        `(carry, ys)`: the last carry, and the tuple of every `y`, stacked in order of `xs`.
    """

    def chunk_step(carry: Tensor, x: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return step(carry, *x)

    if keras.backend.backend() == "jax":
        return jax_loop(chunk_step, carry, xs, axis=0, reverse=reverse)
    few = xs[0].shape[0] is not None and xs[0].shape[0] <= _FEW
    if few or not in_tf_graph():
        return python_loop(chunk_step, carry, xs, axis=0, reverse=reverse)
    count = ops.shape(xs[0])[0]
    _, emitted = step(carry, *(x[0] for x in xs))  # tells what a chunk emits, and is pruned
    results = Collected([(y.shape, y.dtype) for y in emitted], count)
    carry, arrays = tf_loop(chunk_step, carry, xs, count, results, axis=0, reverse=reverse)
    return carry, tuple(array.stack() for array in arrays)


def in_tf_graph() -> bool:
    """Whether TensorFlow is tracing a graph."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.executing_eagerly()


@cache
def default_device() -> str:
    """The kind of device that the backend uses by default: "cpu", "gpu" or "tpu"."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend()
    if backend == "torch":
        import torch

        return "gpu" if torch.cuda.is_available() else "cpu"
    import tensorflow as tf

    kinds = [kind for kind in ("GPU", "TPU") if tf.config.list_physical_devices(kind)]
    return kinds[0].lower() if kinds else "cpu"


def resolved_scan(scan: str) -> str:
    """`"loop"` or `"associative"`: what `scan`, one of `SCANS`, takes on this device.

    On an accelerator a step of a loop takes as long as the launch of its kernels, however little
    it computes, and the log T passes of an associative scan win. On a CPU the loop does, which goes
    over memory once.
    """
    if scan not in SCANS:
        raise ValueError(f"`scan` must be one of {SCANS}, got {scan!r}")
    if scan != "auto":
        return scan
    return "loop" if default_device() == "cpu" else "associative"


def takes_associative_scan(scan: str, x: Tensor) -> bool:
    """Whether to go over the steps of `x (B, T, ...)` by an associative scan.

    Raises:
        ValueError: if `scan` is none of `SCANS`, or `"associative"` and T is not known.
    """
    associative = resolved_scan(scan) == "associative"
    if scan == "associative" and x.shape[1] is None:
        raise ValueError("`scan` must be 'auto' or 'loop' where the length is unknown")
    return associative and x.shape[1] is not None


# The three loops: `step (carry, x) -> (carry, y)` over `axis` of the nest `xs`.


def python_loop(
    step: Callable,
    carry: Nest,
    xs: Nest,
    axis: int,
    reverse: bool = False,
    stack: Callable = ops.stack,
) -> tuple[Nest, Nest]:
    """The loop written out."""
    # Unstacking once makes the gradient one stack; slicing in the loop would make it a sum of
    # T zero-padded tensors, quadratic in T.
    columns = list(zip(*(ops.unstack(x, axis=axis) for x in tree.flatten(xs)), strict=True))
    ys = []
    for column in reversed(columns) if reverse else columns:
        carry, y = step(carry, tree.pack_sequence_as(xs, list(column)))
        ys.append(y)
    ys = ys[::-1] if reverse else ys
    return carry, tree.map_structure(lambda *y: stack(y, axis=axis), *ys)


def jax_loop(
    step: Callable, carry: Nest, xs: Nest, axis: int, reverse: bool = False, unroll: int = 1
) -> tuple[Nest, Nest]:
    """The loop as JAX's scan, which goes over axis 0."""
    import jax

    def swap(x: Tensor) -> Tensor:
        return ops.swapaxes(x, 0, axis) if axis else x

    xs = tree.map_structure(swap, xs)
    if not isinstance(tree.flatten(xs)[0].shape[0], int):
        unroll = 1  # JAX can't tell how many blocks there are in a symbolic length
    carry, ys = jax.lax.scan(step, carry, xs, reverse=reverse, unroll=unroll)
    return carry, tree.map_structure(swap, ys)


def tf_loop(
    step: Callable,
    carry: Nest,
    xs: Nest,
    count: Size,
    results: "Collected | _Placed",
    axis: int,
    reverse: bool = False,
) -> tuple[Nest, list]:
    """The loop in a TensorFlow graph, whose results stand in `results`.

    Args:
        step: See above.
        carry: The carry before the first step; every later one has its shapes.
        xs: Nest of tensors.
        count: Their size along `axis`.
        results: `Collected`, or what else starts and writes arrays.
        axis: 0 or 1.
        reverse: Whether to go from the last to the first.

    Returns:
        `(carry, arrays)`: the last carry, and the arrays as they were written.
    """
    import tensorflow as tf

    def body(
        i: Tensor, flat_carry: list[Tensor], arrays: list
    ) -> tuple[Tensor, list[Tensor], list]:
        n = count - 1 - i if reverse else i
        column = tree.map_structure(lambda x: x[:, n] if axis else x[n], xs)
        new, y = step(tree.pack_sequence_as(carry, flat_carry), column)
        # The loop wants every carry as precisely shaped as it came in.
        new = [
            value if value.shape == old.shape else tf.ensure_shape(value, old.shape)
            for value, old in zip(tree.flatten(new), flat_carry, strict=True)
        ]
        return i + 1, new, results.write(arrays, n, tree.flatten(y))

    # XLA can only place the results of a loop whose `maximum_iterations` it knows.
    _, flat_carry, arrays = tf.while_loop(
        lambda i, *_: i < count,
        body,
        (0, tree.flatten(carry), results.start),
        maximum_iterations=count,
    )
    return tree.pack_sequence_as(carry, flat_carry), arrays


class Collected:
    """Results of a TensorFlow loop in `TensorArray`s, one element an iteration.

    Args:
        elements: Shape and dtype of each array's elements.
        count: Iterations.
    """

    def __init__(self, elements: list[tuple], count: Size):
        import tensorflow as tf

        self.start = [
            tf.TensorArray(dtype, count, element_shape=shape) for shape, dtype in elements
        ]

    def write(self, arrays: list, n: Size, ys: list[Tensor]) -> list:
        """The arrays with `ys` as their elements `n`."""
        return [array.write(n, y) for array, y in zip(arrays, ys, strict=True)]

    def in_time(self, array: Any, length: Size) -> Tensor:
        """Blocks `(B, S, ...)` joined in order of time, `(B, T, ...)`."""
        return from_chunks(ops.swapaxes(array.stack(), 0, 1), length)


class _Placed:
    """Results of blocks at their places in arrays over all time, which XLA updates in place.

    Outside XLA every update would copy the array.
    """

    def __init__(self, example: list[Tensor], xs: tuple[Tensor, ...], count: Size, unroll: int):
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

    def write(self, arrays: list, n: Size, ys: list[Tensor]) -> list:
        return [
            ops.slice_update(array, (0, n * self.unroll, *(0 for _ in array.shape[2:])), y)
            for array, y in zip(arrays, ys, strict=True)
        ]

    def in_time(self, array: Tensor, length: Size) -> Tensor:
        return array[:, :length]


def _stack_steps(ys: Sequence[Tensor], axis: int) -> Tensor:
    """`ops.stack(ys, axis=1)`, through a concatenation of the last axis.

    XLA copies such a concatenation piece by piece. One along axis 1 it fuses into the loop's
    write, element by element, with every earlier step computed again for each element.
    """
    shape = ops.shape(ys[0])
    size = math.prod(ys[0].shape[1:])
    joined = ops.concatenate([ops.reshape(y, (shape[0], size)) for y in ys], axis=axis)
    return ops.reshape(joined, (shape[0], len(ys), *ys[0].shape[1:]))


def _compiles_with_xla() -> bool:
    """Whether the graph that is being traced is compiled with XLA as a whole."""
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util

    graph = tf.compat.v1.get_default_graph()
    return bool(control_flow_util.GraphOrParentsInXlaContext(graph))
