"""Chunks of gated attention with one gate a head, and sums along a chunk."""

import numpy as np
from einops import rearrange
from keras import ops

from common.ops.chunk_states import states_before
from common.ops.linear_scan import LOG_ZERO
from common.ops.time_axis import zero_unless
from common.typing import DType, Tensor


def attend_by_head(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """All chunks, for one gate a head.

    Args:
        q: `(B, N, C, G, K)`; `k` alike.
        k: Keys.
        v: `(B, N, C, H, V)`.
        log_decay: `(B, N, C, H, 1)`.
        state: `(B, H, K, V)`.

    Returns:
        `(o, final)`: `(B, N, C, H, V)` and `(B, H, K, V)`.
    """
    size, groups = v.shape[2], k.shape[3]
    repeats = v.shape[3] // groups  # R heads of values to one of keys
    q = rearrange(q, "b n c g k -> n b g c k")
    k = rearrange(k, "b n c g k -> n b g k c")
    v = rearrange(v, "b n c (g r) v -> n b g c r v", g=groups)
    gates = log_decay[..., 0]
    # Products up to each step, it included, and of the steps after it, which scale what is read
    # and written: here it is the values, which the heads of a group do not share.
    since, until = (
        rearrange(ops.exp(sums @ gates), "b n c (g r) -> n b g c r 1", r=repeats)
        for sums in (up_to(size, gates.dtype), later_than(size, gates.dtype))
    )
    added = k @ rearrange(until * v, "n b g c r v -> n b g c (r v)")
    before, final = states_before(
        rearrange(added, "n b g k (r v) -> n b g k r v", r=repeats),
        rearrange(state, "b (g r) k v -> b g k r v", g=groups),
        kept=since[:, :, :, -1:],
    )
    read = q @ rearrange(before, "n b g k r v -> n b g k (r v)")
    read = since * rearrange(read, "n b g c (r v) -> n b g c r v", r=repeats)
    decays = _decays(rearrange(log_decay, "b n c (g r) 1 -> n b g r c 1", g=groups))
    scores = (q @ k)[:, :, :, None] * decays
    own = scores @ rearrange(v, "n b g c r v -> n b g r c v")  # moves nothing where R is 1
    o = rearrange(own, "n b g r c v -> n b g c r v") + read
    final = rearrange(final, "b g k r v -> b (g r) k v")
    return rearrange(o, "n b g c r v -> b n c (g r) v"), final


def within_by_head(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> Tensor:
    """What all steps read of the steps up to them, for one gate a head, through all pairs."""
    size = ops.shape(v)[-2]
    steps = ops.arange(size)
    later = steps[:, None] > steps[None, :]
    # Row i, column j: the sum of log_decay from j + 1 to i, and no difference of longer sums.
    sums = ops.cumsum(zero_unless(later, log_decay), axis=-2)
    decay = ops.exp(zero_unless(later, sums))
    visible = steps[:, None] >= steps[None, :]
    return (zero_unless(visible, decay) * (q @ ops.swapaxes(k, -1, -2))) @ v


def after(log_decay: Tensor) -> Tensor:
    """The sums of the steps after each one, along the last axis but one."""
    sums = ops.flip(ops.cumsum(ops.flip(log_decay, axis=-2), axis=-2), axis=-2)
    return ops.concatenate([sums[..., 1:, :], ops.zeros_like(sums[..., :1, :])], axis=-2)


def _decays(log_decay: Tensor) -> Tensor:
    """The cumulative decays between every pair of steps: `(..., C, 1)` to `(..., C, C)`.

    Row i, column j: `exp` of the sum of log_decay from j + 1 to i, which is no difference of longer
    sums, and 0 for j > i.
    """
    size, dtype = log_decay.shape[-2], log_decay.dtype
    summed = up_to(size, dtype)
    sums = summed @ (log_decay * up_to(size, dtype, -1))
    return ops.exp(sums + LOG_ZERO * (1 - summed))


# Sums along a chunk are products with triangles of ones: `cumsum` is slow on the CPU.


def up_to(size: int, dtype: DType, diagonal: int = 0) -> Tensor:
    """`(size, size)`: row i sums the steps up to i + diagonal."""
    return ops.convert_to_tensor(np.tri(size, k=diagonal), dtype)


def later_than(size: int, dtype: DType) -> Tensor:
    """`(size, size)`: row i sums the steps after i."""
    return ops.convert_to_tensor(np.tri(size, k=-1).T, dtype)
