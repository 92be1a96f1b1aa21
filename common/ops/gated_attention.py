"""Gated linear attention: `S_t = diag(a_t) S_{t-1} + k_t v_t^T`, read as `S_t^T q_t`.

The gate a forgets: one number for every key dimension (gated linear attention, Yang 2024), or one
for the whole head (RetNet, Sun 2023, with a constant; Mamba-2, Dao 2024; mLSTM, Beck 2024). It is
given by its logarithm, and a product of gates is taken as a sum of logarithms that is never the
difference of two longer sums: nothing overflows and nothing cancels, for gates of 0 and of 1 alike.

- recurrent: a loop over time, O(T K V) and sequential;
- parallel: a masked product of all pairs of steps, O(T^2 (K + V)), for one gate a head;
- chunkwise: parallel inside chunks of C steps, recurrent between them.

Queries and keys may have fewer heads than the values: G of them serve H / G heads each, whose
gates and values are their own (Mamba-2's groups, Dao 2024, section 7.2).
"""

from typing import Any

import keras
import numpy as np
from einops import rearrange
from keras import ops, tree

from common.ops.branches import switch
from common.ops.chunk_loop import states_before
from common.ops.linear_scan import linear_scan
from common.ops.sequence import (
    accumulation_dtype,
    check_pairs,
    check_rank,
    expand_like,
    from_chunks,
    pad_time,
    scan_marked,
    to_chunks,
    zero_unless,
    zero_where_masked,
)

# A finite stand-in for log 0, which keeps differences of infinities out of the gradient.
_LOG_ZERO = -1e30
# Steps below which a chunk is not halved any more.
_SMALLEST = 4
# While the gates of every chunk multiply to more than exp(-40), products of gates may be divided
# by one another: neither they nor what they scale leaves the range of float32.
_SAFE = 40.0


def recurrent_gated_attention(
    q, k, v, log_decay, state=None, *, initial=None, mask=None, reset=None
):
    """Gated linear attention, one step after the other.

    16 bit inputs are accumulated in float32.

    Args:
        q: Queries `(B, T, G, K)`, G a divisor of H.
        k: Keys `(B, T, G, K)`.
        v: Values `(B, T, H, V)`.
        log_decay: `log a`, finite and at most 0, `(B, T, H, 1)` or, one gate a key dimension and
            G = H, `(B, T, H, K)`.
        state: `S` before the first step, `(B, H, K, V)`; `initial` by default.
        initial: `(B, H, K, V)`, what a reset puts back; zeros by default.
        mask: `(B, T)` bool; false leaves the state as it was.
        reset: `(B, T)` bool; true puts the state back to `initial` before the step.

    Returns:
        `(o, final)`: outputs `(B, T, H, V)` in the dtype of `v`, and the last state
        `(B, H, K, V)` in the accumulation dtype.
    """

    def core(q, k, v, log_decay, state):
        groups = k.shape[2]
        xs = [rearrange(x, "b t (g r) d -> b t g r d", g=groups) for x in (q, k, v, log_decay)]

        def step(memory, x):
            q, k, v, log_decay = x
            memory = ops.exp(log_decay)[..., None] * memory + k[..., :, None] * v[..., None, :]
            return memory, (q[..., None, :] @ memory)[..., 0, :]

        state = rearrange(state, "b (g r) k v -> b g r k v", g=groups)
        final, o = scan_marked(step, state, xs)
        final = rearrange(final, "b g r k v -> b (g r) k v")
        return rearrange(o, "b t g r v -> b t (g r) v"), final

    return _apply(core, q, k, v, log_decay, state, initial, mask, reset)


def parallel_gated_attention(
    q, k, v, log_decay, state=None, *, initial=None, mask=None, reset=None
):
    """Gated linear attention as one masked product, quadratic in T, for one gate a head.

    Arguments and results are those of `recurrent_gated_attention`. A `ValueError` is raised for
    more than `common.ops.sequence.MOST_PAIRS` pairs of steps: there, take the chunkwise form.
    """
    check_pairs(v)
    if log_decay.shape[-1] != 1:
        raise ValueError(
            f"`log_decay` must have one gate a head, (B, T, H, 1), got {tuple(log_decay.shape)}"
        )

    def core(q, k, v, log_decay, state):
        groups = k.shape[2]
        q, k, v, log_decay = (
            rearrange(x, "b t (g r) d -> b g r t d", g=groups) for x in (q, k, v, log_decay)
        )
        state = rearrange(state, "b (g r) k v -> b g r k v", g=groups)
        since = ops.exp(ops.cumsum(log_decay, axis=-2))
        o = _within_by_head(q, k, v, log_decay) + since * (q @ state)
        added = ops.swapaxes(k, -1, -2) @ (ops.exp(_after(log_decay)) * v)
        final = rearrange(since[..., -1:, :] * state + added, "b g r k v -> b (g r) k v")
        return rearrange(o, "b g r t v -> b t (g r) v"), final

    return _apply(core, q, k, v, log_decay, state, initial, mask, reset)


def chunkwise_gated_attention(
    q, k, v, log_decay, state=None, *, initial=None, mask=None, reset=None, chunk_size: int = 64
):
    """Gated linear attention, parallel inside chunks and recurrent between them.

    Arguments and results are those of `recurrent_gated_attention`, and `chunk_size`, the number of
    steps in a chunk, a power of two.
    """
    if chunk_size < 1 or chunk_size & (chunk_size - 1):
        raise ValueError(f"`chunk_size` must be a power of two, got {chunk_size}")

    def core(q, k, v, log_decay, state):
        length = ops.shape(v)[1]
        q, k, v, log_decay = (
            to_chunks(pad_time(x, chunk_size), chunk_size) for x in (q, k, v, log_decay)
        )
        attend = _attend_by_head if log_decay.shape[-1] == 1 else _attend_by_key
        o, final = attend(q, k, v, log_decay, state)
        return from_chunks(o, length), final

    return _apply(core, q, k, v, log_decay, state, initial, mask, reset)


def gated_attention_flops(
    form: str,
    length: int,
    num_heads: int,
    key_dim: int,
    value_dim: int,
    *,
    num_groups: int | None = None,
    gates: int = 1,
    chunk_size: int = 64,
) -> int:
    """FLOPs of the matrix products of one sequence; where gates decide, of the longer way.

    Recurrent: `2 H T K V`, to read. Else there are chunks of C steps, T padded to whole ones, or
    one of T in the parallel form: `2 T C (G K + H V)` for the scores and what they weigh,
    `4 H T K V` to read the states and write to them; and chunkwise for the sums of gates

    - one a head: `2 H T C (C + 2)`;
    - one a key dimension: `2 H T C K` and, in the halves, `3 H T K (C - 4)`.

    Args:
        form: `"recurrent"`, `"parallel"` or `"chunkwise"`.
        length: T.
        num_heads: H.
        key_dim: K.
        value_dim: V.
        num_groups: G; H by default.
        gates: Gates of a head, 1 or K.
        chunk_size: C of the chunkwise form.
    """
    if form == "recurrent":
        return 2 * num_heads * length * key_dim * value_dim
    chunk = chunk_size if form == "chunkwise" else length
    steps = -(-length // chunk) * chunk
    groups = num_heads if num_groups is None else num_groups
    flops = 2 * steps * chunk * (groups * key_dim + num_heads * value_dim)
    flops += 4 * num_heads * steps * key_dim * value_dim
    if form == "parallel":
        return flops
    if gates == 1:
        return flops + 2 * num_heads * steps * chunk * (chunk + 2)
    halves = 3 * max(0, chunk - _SMALLEST)
    return flops + num_heads * steps * key_dim * (2 * chunk + halves)


def _attend_by_head(q, k, v, log_decay, state):
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
        for sums in (_up_to(size, gates.dtype), _later_than(size, gates.dtype))
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


def _within_by_head(q, k, v, log_decay):
    """What all steps read of the steps up to them, for one gate a head, through all pairs."""
    size = ops.shape(v)[-2]
    steps = ops.arange(size)
    later = steps[:, None] > steps[None, :]
    # Row i, column j: the sum of log_decay from j + 1 to i, and no difference of longer sums.
    sums = ops.cumsum(zero_unless(later, log_decay), axis=-2)
    decay = ops.exp(zero_unless(later, sums))
    visible = steps[:, None] >= steps[None, :]
    return (zero_unless(visible, decay) * (q @ ops.swapaxes(k, -1, -2))) @ v


def _after(log_decay):
    """The sums of the steps after each one, along the last axis but one."""
    sums = ops.flip(ops.cumsum(ops.flip(log_decay, axis=-2), axis=-2), axis=-2)
    return ops.concatenate([sums[..., 1:, :], ops.zeros_like(sums[..., :1, :])], axis=-2)


def _decays(log_decay):
    """The cumulative decays between every pair of steps: `(..., C, 1)` to `(..., C, C)`.

    Row i, column j: `exp` of the sum of log_decay from j + 1 to i, which is no difference of longer
    sums, and 0 for j > i.
    """
    size, dtype = log_decay.shape[-2], log_decay.dtype
    summed = _up_to(size, dtype)
    sums = summed @ (log_decay * _up_to(size, dtype, -1))
    return ops.exp(sums + _LOG_ZERO * (1 - summed))


def _attend_by_key(q, k, v, log_decay, state):
    """All chunks, for a gate a key dimension; as `_attend_by_head`, with `log_decay` as `k`."""
    size, dtype = v.shape[2], v.dtype
    visible = _up_to(size, dtype)
    gates = rearrange(log_decay, "b n c h k -> b n c (h k)")
    sums = rearrange(visible @ gates, "b n c (h k) -> b n c h k", h=v.shape[3])
    kept = rearrange(ops.exp(sums[:, :, -1]), "b n h k -> n b h 1 k")

    def heads(x):
        return rearrange(x, "b n c h d -> n b h c d")

    def by_products(q, k, log_decay, sums, kept):
        reading, keys = (heads(x) for x in _over_and_under(q, k, sums))
        scores = reading @ ops.swapaxes(keys, -1, -2)
        return scores * visible, reading, keys * kept

    def by_halves(q, k, log_decay, sums, kept):
        gates, keys = heads(log_decay), heads(k)
        blocks = [ops.reshape(x, (-1, *x.shape[-2:])) for x in (heads(q), keys, gates)]
        scores = ops.reshape(_scores_by_halves(*blocks), (*ops.shape(keys)[:-1], size))
        until = ops.exp(_later_than(size, dtype) @ gates)
        return scores, heads(ops.exp(sums) * q), until * keys

    safe = ops.min(sums[:, :, -1], initial=0.0) > -_SAFE
    scores, reading, writing = switch(
        ops.cast(safe, "int32"), (by_halves, by_products), q, k, log_decay, sums, kept
    )
    v = heads(v)
    added = ops.swapaxes(writing, -1, -2) @ v
    before, final = states_before(added, state, kept=ops.swapaxes(kept, -1, -2))
    return rearrange(scores @ v + reading @ before, "n b h c v -> b n c h v"), final


def _over_and_under(q, k, sums):
    """`exp(sums) q` and `exp(-sums) k`, whose product has the gates between two steps."""

    def scale(q, k, sums):
        gates = ops.exp(sums)
        over, under = gates * q, k / gates

        def grad(*upstream):
            d_over, d_under = tree.flatten(upstream)
            return d_over * gates, d_under / gates, d_over * over - d_under * under

        return (over, under), grad

    if keras.backend.backend() == "torch":  # where a gradient of one's own has one output
        return scale(q, k, sums)[0]
    return ops.custom_gradient(scale)(q, k, sums)


def _scores_by_halves(q, k, log_decay):
    """What every step reads of the steps up to it: `(M, C, K)` each to `(M, C, C)`.

    What the second half reads of the first has passed all gates from its step to the end of the
    first half, and those of the second half up to the reading step: a factor of the key and one of
    the query, both at most 1. The halves are then chunks themselves.
    """
    size, dtype = q.shape[-2], q.dtype
    if size <= _SMALLEST:
        return _scores_of_few(q, k, log_decay)
    half = size // 2
    # One axis for all blocks: TensorFlow's kernels take only so many axes.
    own = _scores_by_halves(*(ops.reshape(x, (-1, half, x.shape[-1])) for x in (q, k, log_decay)))
    own = ops.reshape(own, (-1, 2, half, half))
    keys = ops.exp(_later_than(half, dtype) @ log_decay[:, :half]) * k[:, :half]
    queries = ops.exp(_up_to(half, dtype) @ log_decay[:, half:]) * q[:, half:]
    read = queries @ ops.swapaxes(keys, -1, -2)
    first = ops.concatenate([own[:, 0], ops.zeros_like(read)], axis=-1)
    return ops.concatenate([first, ops.concatenate([read, own[:, 1]], axis=-1)], axis=-2)


def _scores_of_few(q, k, log_decay):
    """As `_scores_by_halves`, one distance in time after the other."""
    size = q.shape[-2]
    decay, gates, scores = ops.ones_like(q), ops.exp(log_decay), 0
    for distance in range(size):
        near = size - distance
        if distance:
            # From the key's step to the reading one: one gate more than from the step after it.
            decay = gates[:, distance:] * decay[:, :near]
        reads = ops.sum(q[:, distance:] * decay * k[:, :near], axis=-1)
        reads = ops.pad(reads, ((0, 0), (distance, 0)))
        diagonal = ops.convert_to_tensor(np.eye(size, k=-distance), q.dtype)
        scores = scores + reads[..., None] * diagonal
    return scores


# Sums along a chunk are products with triangles of ones: `cumsum` is slow on the CPU.


def _up_to(size: int, dtype, diagonal: int = 0) -> Any:
    """`(size, size)`: row i sums the steps up to i + diagonal."""
    return ops.convert_to_tensor(np.tri(size, k=diagonal), dtype)


def _later_than(size: int, dtype) -> Any:
    """`(size, size)`: row i sums the steps after i."""
    return ops.convert_to_tensor(np.tri(size, k=-1).T, dtype)


def _apply(core, q, k, v, log_decay, state, initial, mask, reset):
    """Reduces the general case to `core(q, k, v, log_decay, state)`, without marks."""
    _check(q, k, v, log_decay)
    output_dtype, dtype = v.dtype, accumulation_dtype(v)
    q, k, v, log_decay = (ops.cast(x, dtype) for x in (q, k, v, log_decay))
    k, log_decay = zero_where_masked(k, mask), zero_where_masked(log_decay, mask)
    if state is None:
        batch, _, heads, values = ops.shape(v)
        zeros = ops.zeros((batch, heads, k.shape[-1], values), dtype)
        state = zeros if initial is None else initial
    state = ops.cast(state, dtype)
    if reset is None:
        o, final = core(q, k, v, log_decay, state)
        return ops.cast(o, output_dtype), final
    forgets = expand_like(reset, log_decay)
    o, final = core(q, k, v, ops.where(forgets, _LOG_ZERO, log_decay), state)
    if initial is not None:
        # What a reset puts back decays on its own, from the last reset on.
        initial = ops.cast(initial, dtype)
        since, last = linear_scan(ops.cast(~forgets, dtype), log_decay)
        seen = expand_like(ops.cumsum(ops.cast(reset, "int32"), axis=1) > 0, since)
        q = ops.repeat(q, v.shape[2] // q.shape[2], axis=2)
        o = o + ops.einsum("bthk,bhkv->bthv", zero_unless(seen, ops.exp(since)) * q, initial)
        final = final + zero_unless(seen[:, -1], ops.exp(last))[..., None] * initial
    return ops.cast(o, output_dtype), final


def _check(q, k, v, log_decay) -> None:
    check_rank("q", q, "B T G K")
    check_rank("k", k, "B T G K")
    check_rank("v", v, "B T H V")
    check_rank("log_decay", log_decay, "B T H K")
    if q.shape[2:] != k.shape[2:]:
        raise ValueError(
            f"`q` must have the heads and key size of `k` {tuple(k.shape)}, got {tuple(q.shape)}"
        )
    if v.shape[2] % k.shape[2]:
        raise ValueError(
            f"`v` must have the {k.shape[2]} heads of `k` or a multiple, got {tuple(v.shape)}"
        )
    sizes = (1, k.shape[3]) if v.shape[2] == k.shape[2] else (1,)
    if log_decay.shape[2] != v.shape[2] or log_decay.shape[3] not in sizes:
        raise ValueError(
            f"`log_decay` must have the {v.shape[2]} heads of `v` and a gate a head, or a key "
            f"dimension where `k` has these heads too: last sizes {v.shape[2]} and one of {sizes}; "
            f"got {tuple(log_decay.shape)}"
        )
