"""Prefix sums: linear recurrences in log T passes over all steps, for accelerators."""

from collections.abc import Callable

from einops import rearrange
from keras import ops

from common.ops.device import default_device
from common.typing import Tensor

Elements = tuple[Tensor, ...]

# How a recurrence whose steps compose goes over time.
SCANS = ("auto", "loop", "associative")


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
