"""The past in buckets that double: a memory for each, of any linear recurrence.

A step s has a level as step t sees it (Guo 2025, "Log-linear attention", section 3.1, the Fenwick
tree): with c the number of steps before each,

    `level(t, s)` = the number of bits of `c_t xor c_s`, that is 0 for t = s, and else 1 + the index
    of the highest bit in which the two differ.

The steps of a level are a run of 2^(level - 1); there is one where c_t has that bit, so there are
as many as c_t has ones. A memory `S_t = M_t S_{t-1} + k_t v_t^T` is kept in parts, by level, that
M_t multiplies all alike, and is read as `sum_l w_tl q_t^T S_tl`. After the step its own write and
the levels 1 to m - 1 are added to level m, the number of bits of `c_t xor (c_t + 1)`: as in
counting, the carry. What a level holds thus goes on to another as one, and at a later count c that
is level `max(l, m)`, m the bits of `c xor c_t`. So a chunk needs no alignment: levels come from the
counts, which masks and resets change.

Of L levels the last takes all that would be in higher ones. Level 0, the step itself, is not kept:
memories are `(B, H, L - 1, K, V)`.
"""

import numpy as np
from keras import ops

from common.ops.linear_scan import linear_scan
from common.ops.scan import scan
from common.ops.time_axis import zero_unless
from common.typing import DType, Tensor

# Counts are 32 bit integers.
MOST_LEVELS = 31


def count_before(
    start: Tensor | None, x: Tensor, mask: Tensor | None = None, reset: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """How many valid steps are before each, since the state was empty.

    Args:
        start: `(B,)` int32, those before the first step; None is 0.
        x: `(B, T, ...)`, whose steps these are.
        mask: `(B, T)` bool; a step where it is false is not counted.
        reset: `(B, T)` bool; where it is true, counting starts again at 0.

    Returns:
        `(before, after)`: `(B, T)` and `(B,)`, the count after the last step, both int32; B is 1
        where all rows are known to count alike.
    """
    batch, length = ops.shape(x)[:2]
    if mask is None and reset is None:
        start = ops.zeros((1,), "int32") if start is None else start
        before = start[:, None] + ops.cast(ops.arange(length), "int32")
        return before, start + ops.cast(length, "int32")
    start = ops.zeros((batch,), "int32") if start is None else start
    counted = ops.ones_like(reset, "int32") if mask is None else ops.cast(mask, "int32")
    if reset is None:
        after = start[:, None] + ops.cumsum(counted, axis=1)
    else:
        # Those of one call are exact in float32, up to 2^24.
        since, _ = linear_scan(1 - ops.cast(reset, "float32"), ops.cast(counted, "float32"))
        unbroken = ops.equal(ops.cumsum(ops.cast(reset, "int32"), axis=1), 0)
        after = ops.cast(since, "int32") + zero_unless(unbroken, start[:, None])
    return after - counted, after[:, -1]


def level(a: Tensor, b: Tensor, num_levels: int) -> Tensor:
    """Bits of `a xor b`, int32 and broadcast, at most `num_levels - 1`."""
    powers = ops.convert_to_tensor(2 ** np.arange(num_levels - 1), "int32")
    return ops.sum(ops.cast(ops.bitwise_xor(a, b)[..., None] >= powers, "int32"), axis=-1)


def merge(memories: Tensor, upto: Tensor, written: Tensor | None = None) -> Tensor:
    """The levels up to one of them added to it, and the lower ones emptied.

    Args:
        memories: `(B, H, L - 1, K, V)`, the levels from 1 on.
        upto: `(B,)` or `(1,)` int32, that level; at 0 all stays as it is.
        written: `(B, H, K, V)`, which is added to it too.

    Returns:
        `(B, H, L - 1, K, V)`.
    """
    levels, upto = _above_0(memories.shape[2]), upto[:, None]
    stays, here = (x[:, None, :, None, None] for x in (levels > upto, ops.equal(levels, upto)))
    total = ops.sum(zero_unless(~stays, memories), axis=2, keepdims=True)
    if written is not None:
        total = total + written[:, :, None]
    return ops.where(stays, memories, zero_unless(here, total))


def fenwick_step(
    q: Tensor, weights: Tensor, memories: Tensor, written: Tensor, count: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Reads all levels, and carries.

    Args:
        q: `(B, H, K)`.
        weights: `(B, H, L)`.
        memories: `(B, H, L - 1, K, V)`, after the step's transition.
        written: `(B, H, K, V)`, what the step writes.
        count: `(B,)` int32, the steps before it.

    Returns:
        `(o, memories, count)`: `(B, H, V)`, and both after the step.
    """
    every = ops.concatenate([written[:, :, None], memories], axis=2)
    o = ops.einsum("bhlk,bhlkv->bhv", weights[..., None] * q[..., None, :], every)
    after = count + 1
    return o, merge(memories, level(after, count, weights.shape[-1]), written), after


def fenwick_chunks(
    pairs: Tensor,
    reads: Tensor,
    writes: Tensor,
    kept: Tensor,
    v: Tensor,
    weights: Tensor,
    memories: Tensor,
    before: Tensor,
    after: Tensor,
) -> tuple[Tensor, Tensor]:
    """Chunks of a linear memory, from what their steps do to each other and to what was before.

    Without levels a chunk has the outputs `pairs v + reads S` and leaves `kept S + writes^T v`.

    Args:
        pairs: `(B, N, H, C, C)`, what each step reads of the values of each, 0 of later ones.
        reads: `(B, N, H, C, K)`, what each step reads of the memory before the chunk.
        writes: `(B, N, H, C, K)`, where each value is in the memory after it.
        kept: `(B, N, H, 1, 1)` or `(B, N, H, K, K)`, what the chunk does to the memory before it.
        v: `(B, N, H, C, V)`.
        weights: `(B, N, H, C, L)`, of the levels.
        memories: `(B, H, L - 1, K, V)`, before the first chunk.
        before: `(B or 1, N, C)` int32, the count before each step.
        after: `(B or 1, N)` int32, that after each chunk.

    Returns:
        `(o, memories)`: `(B, N, H, C, V)`, and the memories after the last chunk.
    """
    num_levels, dtype = weights.shape[-1], weights.dtype
    own = level(before[..., :, None], before[..., None, :], num_levels)
    o = (_of_levels(weights, own) * pairs) @ v

    # Where each value goes, and what was there.
    last = level(after[..., None], before, num_levels)
    last = _one_hot(last, num_levels, dtype)[:, :, None, :, 1:]  # (B or 1, N, 1, C, L - 1)
    added = ops.swapaxes(_in_levels(last, writes), -1, -2) @ v
    added = ops.reshape(added, (*ops.shape(added)[:3], *memories.shape[2:]))
    upto = level(after, before[..., 0], num_levels)

    def chunk(memories: Tensor, x: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        kept, added, upto = x
        kept = kept[:, :, None]
        faded = kept * memories if kept.shape[-1] == 1 else kept @ memories
        return merge(faded, upto) + added, memories

    final, starts = scan(chunk, memories, (kept, added, upto))

    # What is in level l before the chunk, a step sees in the higher one of l and its own carry.
    carried = level(before, before[..., :1], num_levels)
    older = ops.maximum(carried[..., None], _above_0(num_levels - 1))
    every = memories.shape[2] * memories.shape[3]
    starts = ops.reshape(starts, (*ops.shape(starts)[:3], every, v.shape[-1]))
    return o + _in_levels(_of_levels(weights, older), reads) @ starts, final


def _above_0(number: int) -> Tensor:
    """The levels of the memories, 1 to L - 1."""
    return ops.convert_to_tensor(np.arange(1, number + 1), "int32")


def _one_hot(levels: Tensor, num_levels: int, dtype: DType) -> Tensor:
    every = ops.convert_to_tensor(np.arange(num_levels), "int32")
    return ops.cast(ops.equal(levels[..., None], every), dtype)


def _of_levels(weights: Tensor, levels: Tensor) -> Tensor:
    """The weights `(B, N, H, C, L)` at `levels (B or 1, N, C, S)`: `(B, N, H, C, S)`."""
    # A product, as the gradient of a gather is slow on a CPU.
    picked = ops.swapaxes(_one_hot(levels, weights.shape[-1], weights.dtype), -1, -2)
    return ops.swapaxes(ops.swapaxes(weights, 2, 3) @ picked, 2, 3)


def _in_levels(shares: Tensor, x: Tensor) -> Tensor:
    """`x (B, N, H, C, K)` in every level, times `shares (..., C, L - 1)`, side by side."""
    # Of five axes, as TensorFlow broadcasts no more outside XLA.
    spread = ops.repeat(shares, x.shape[-1], axis=-1)
    return spread * ops.tile(x, (1, 1, 1, 1, shares.shape[-1]))
