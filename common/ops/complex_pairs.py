"""Complex numbers as two real tensors, which every backend compiles and differentiates."""

from keras import ops

from common.typing import Tensor

Complex = tuple[Tensor, ...]  # real and imaginary parts


def parts(z: Tensor) -> Complex:
    """The pair of a tensor whose last axis holds the real parts and after them the imaginary."""
    return tuple(ops.split(z, 2, axis=-1))


def join(z: Complex) -> Tensor:
    """The inverse of `parts`."""
    return ops.concatenate(z, axis=-1)


def times(x: Complex, y: Complex) -> Complex:
    """The product."""
    return x[0] * y[0] - x[1] * y[1], x[0] * y[1] + x[1] * y[0]


def exp(z: Complex) -> Complex:
    """The exponential."""
    size = ops.exp(z[0])
    return size * ops.cos(z[1]), size * ops.sin(z[1])
