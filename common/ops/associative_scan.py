"""Prefix sums: linear recurrences in log T passes over all steps, for accelerators."""

from collections.abc import Callable

from einops import rearrange
from keras import ops

from common.typing import Tensor

Elements = tuple[Tensor, ...]


def associative_scan(compose: Callable, xs: Elements) -> Elements:
    """Composes every element with all those before it (Blelloch 1990, section 1.4.1).

    `keras.ops.associative_scan` does not compile with TensorFlow's XLA, and on torch's GPU it
    returns float32 on the CPU.

    Args:
        compose: Associative, `(earlier, later) -> composed`, all of them tuples as `xs`.
        xs: Tensors of shape `(B, T, ...)`, T known.

    Returns:
        As `xs`.
    """
    length = xs[0].shape[1]
    if length == 1:
        return xs
    even, odd = _map(lambda x: x[:, ::2], xs), _map(lambda x: x[:, 1::2], xs)
    pairs = compose(_map(lambda x: x[:, : length // 2], even), odd)
    at_odd = associative_scan(compose, pairs)
    if length == 2:
        return tuple(_join(e, o) for e, o in zip(even, at_odd, strict=True))
    before = _map(lambda x: x[:, : (length - 1) // 2], at_odd)
    after_first = compose(before, _map(lambda x: x[:, 1:], even))
    at_even = [_join(e[:, :1], rest) for e, rest in zip(even, after_first, strict=True)]
    return tuple(_interleave(e, o) for e, o in zip(at_even, at_odd, strict=True))


def _map(function: Callable, xs: Elements) -> Elements:
    return tuple(function(x) for x in xs)


def _join(x: Tensor, y: Tensor) -> Tensor:
    return ops.concatenate([x, y], axis=1)


def _interleave(even: Tensor, odd: Tensor) -> Tensor:
    """`even[0], odd[0], even[1], ...`; there may be one more in `even`."""
    count = odd.shape[1]
    pairs = ops.stack([even[:, :count], odd], axis=2)
    pairs = rearrange(pairs, "b t two ... -> b (t two) ...")
    return pairs if even.shape[1] == odd.shape[1] else _join(pairs, even[:, count:])
