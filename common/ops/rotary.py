"""Rotary positions (Su 2021): queries and keys turned by angles that grow with their position."""

from keras import ops

from common.ops.linear_scan import linear_scan
from common.ops.operands import accumulation_dtype
from common.typing import Size, Tensor


def count_steps(
    start: Tensor, length: Size, mask: Tensor | None = None, reset: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The position of every step, counting the valid ones since the start or the last reset.

    Args:
        start: `(B,)` int32, the number of steps before the first one.
        length: T.
        mask: `(B, T)` bool; a step where it is false is not counted, and its position is that of
            the step before it.
        reset: `(B, T)` bool; where it is true, counting starts again at 0.

    Returns:
        `(positions, final)`: `(B, T)` and `(B,)`, the count after the last step, both int32.
    """
    if mask is not None:
        counted = ops.cast(mask, "int32")
    elif reset is not None:
        counted = ops.ones_like(reset, "int32")
    else:
        counted = ops.ones((ops.shape(start)[0], length), "int32")
    if reset is None:
        count = start[:, None] + ops.cumsum(counted, axis=1)
    else:
        # Counts are exact in float32 up to 2^24 steps.
        kept = 1 - ops.cast(reset, "float32")
        count, _ = linear_scan(kept, ops.cast(counted, "float32"), ops.cast(start, "float32"))
        count = ops.cast(count, "int32")
    return ops.where(count > 0, count - 1, 0), count[:, -1]


def rotate(x: Tensor, positions: Tensor, base: float = 1e4) -> Tensor:
    """Turns the pair `(x_i, x_{i + K/2})` of every head by `position * base^(-2 i / K)`.

    The product of a rotated query and a rotated key depends on the distance of their positions
    only (RoFormer, eq. 16). 16 bit inputs are turned in float32.

    Args:
        x: `(B, T, H, K)`, K even.
        positions: `(B, T)` int32.
        base: Wavelengths go from `2 pi` to `2 pi base` steps.

    Returns:
        `(B, T, H, K)` in the dtype of `x`.

    Raises:
        ValueError: if K is odd.
    """
    half, odd = divmod(x.shape[-1], 2)
    if odd:
        raise ValueError(f"`x` must have an even last axis, got {tuple(x.shape)}")
    dtype = accumulation_dtype(x)
    rates = ops.convert_to_tensor([base ** (-i / half) for i in range(half)], dtype)
    angles = (ops.cast(positions, dtype)[..., None] * rates)[:, :, None]  # (B, T, 1, K / 2)
    cos, sin = ops.cos(angles), ops.sin(angles)
    a, b = ops.split(ops.cast(x, dtype), 2, axis=-1)
    return ops.cast(ops.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1), x.dtype)
