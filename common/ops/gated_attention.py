"""Gated linear attention: `S_t = diag(a_t) S_{t-1} + k_t v_t^T`, read as `S_t^T q_t`.

The gate a forgets: one number for every key dimension (gated linear attention, Yang 2024), or one
for the whole head (RetNet, Sun 2023, with a constant; Mamba-2, Dao 2024; mLSTM, Beck 2024). It is
given by its logarithm, and a product of gates is taken as a sum of logarithms that is never the
difference of two longer sums: nothing overflows and nothing cancels, for gates of 0 and of 1 alike.

- recurrent: a loop over time, O(T K V) and sequential;
- chunkwise: parallel inside chunks of C steps, recurrent between them.
"""

from einops import rearrange
from keras import ops

from common.ops.linear_scan import linear_scan
from common.ops.sequence import (
    accumulation_dtype,
    check_heads,
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


def recurrent_gated_attention(
    q, k, v, log_decay, state=None, *, initial=None, mask=None, reset=None
):
    """Gated linear attention, one step after the other.

    16 bit inputs are accumulated in float32.

    Args:
        q: Queries `(B, T, H, K)`.
        k: Keys `(B, T, H, K)`.
        v: Values `(B, T, H, V)`.
        log_decay: `log a`, at most 0, `(B, T, H, K)` or, one gate a head, `(B, T, H, 1)`.
        state: `S` before the first step, `(B, H, K, V)`; `initial` by default.
        initial: `(B, H, K, V)`, what a reset puts back; zeros by default.
        mask: `(B, T)` bool; false leaves the state as it was.
        reset: `(B, T)` bool; true puts the state back to `initial` before the step.

    Returns:
        `(o, final)`: outputs `(B, T, H, V)` in the dtype of `v`, and the last state
        `(B, H, K, V)` in the accumulation dtype.
    """

    def core(q, k, v, log_decay, state):
        def step(memory, x):
            q, k, v, log_decay = x
            memory = ops.exp(log_decay)[..., None] * memory + k[..., :, None] * v[..., None, :]
            return memory, (q[..., None, :] @ memory)[..., 0, :]

        final, o = scan_marked(step, state, (q, k, v, log_decay))
        return o, final

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
            rearrange(to_chunks(pad_time(x, chunk_size), chunk_size), "b n c h d -> b n h c d")
            for x in (q, k, v, log_decay)
        )
        within = _within_by_head if log_decay.shape[-1] == 1 else _within_by_key
        since = ops.cumsum(log_decay, axis=-2)  # of the steps up to this one, it included
        until = _after(log_decay)  # of the steps after this one
        added = ops.swapaxes(ops.exp(until) * k, -1, -2) @ v
        kept = ops.exp(ops.sum(log_decay, axis=-2))[..., None]  # (B, N, H, K or 1, 1)
        after, final = linear_scan(kept, added, state)
        before = ops.concatenate([state[:, None], after[:, :-1]], axis=1)
        blocks = [ops.reshape(x, (-1, *x.shape[-2:])) for x in (q, k, v, log_decay)]
        o = ops.reshape(within(*blocks), ops.shape(v)) + (ops.exp(since) * q) @ before
        return from_chunks(rearrange(o, "b n h c d -> b n c h d"), length), final

    return _apply(core, q, k, v, log_decay, state, initial, mask, reset)


def _within_by_head(q, k, v, log_decay):
    """What a chunk's own steps contribute, for one gate a head, through all pairs of steps."""
    size = ops.shape(q)[-2]
    steps = ops.arange(size)
    later = steps[:, None] > steps[None, :]
    # Row i, column j: the sum of log_decay from j + 1 to i, each as a sum of its own.
    sums = ops.cumsum(zero_unless(later, log_decay), axis=-2)
    decay = ops.exp(zero_unless(later, sums))
    visible = steps[:, None] >= steps[None, :]
    return (zero_unless(visible, decay) * (q @ ops.swapaxes(k, -1, -2))) @ v


def _within_by_key(q, k, v, log_decay):
    """What a chunk's own steps contribute, for a gate a key dimension, by halving the chunk.

    What the second half reads of the first has passed all gates from its step to the end of the
    first half, and those of the second half up to the reading step: a factor of the key and one of
    the query, both at most 1. The halves are then chunks themselves.
    """
    size = q.shape[-2]
    if size <= _SMALLEST:
        return _within_few(q, k, v, log_decay)

    def cut(x, *parts):  # one axis for all blocks: TensorFlow counts axes
        return ops.reshape(x, (-1, *parts, size // 2, x.shape[-1]))

    own = _within_by_key(*(cut(x) for x in (q, k, v, log_decay)))
    halves = [cut(x, 2) for x in (q, k, v, log_decay)]
    _, k, v, log_decay = (x[:, 0] for x in halves)
    keys = ops.exp(_after(log_decay)) * k
    q, *_, log_decay = (x[:, 1] for x in halves)
    queries = ops.exp(ops.cumsum(log_decay, axis=-2)) * q
    read = (queries @ ops.swapaxes(keys, -1, -2)) @ v
    own = cut(own, 2)
    return ops.concatenate([own[:, 0], own[:, 1] + read], axis=-2)


def _within_few(q, k, v, log_decay):
    """As `_within_by_key`, through all pairs of steps and key dimensions."""
    steps = ops.arange(q.shape[-2])
    later = (steps[:, None] > steps[None, :])[..., None]
    sums = ops.cumsum(zero_unless(later, log_decay[..., :, None, :]), axis=-3)
    pairs = ops.exp(sums) * q[..., :, None, :] * k[..., None, :, :]
    scores = zero_unless(steps[:, None] >= steps[None, :], ops.sum(pairs, axis=-1))
    return scores @ v


def _after(log_decay):
    """The sums of the steps after each one, along the last axis but one."""
    sums = ops.flip(ops.cumsum(ops.flip(log_decay, axis=-2), axis=-2), axis=-2)
    return ops.concatenate([sums[..., 1:, :], ops.zeros_like(sums[..., :1, :])], axis=-2)


def _apply(core, q, k, v, log_decay, state, initial, mask, reset):
    """Reduces the general case to `core(q, k, v, log_decay, state)`, without marks."""
    check_heads(q, k, v)
    check_rank("log_decay", log_decay, "B T H K")
    if log_decay.shape[2] != k.shape[2] or log_decay.shape[3] not in (1, k.shape[3]):
        raise ValueError(
            f"`log_decay` must have the {k.shape[2]} heads of `k` and its key size "
            f"{k.shape[3]} or 1, got {tuple(log_decay.shape)}"
        )
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
        o = o + ops.einsum("bthk,bhkv->bthv", zero_unless(seen, ops.exp(since)) * q, initial)
        final = final + zero_unless(seen[:, -1], ops.exp(last))[..., None] * initial
    return ops.cast(o, output_dtype), final
