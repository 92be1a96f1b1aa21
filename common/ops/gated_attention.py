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

from collections.abc import Callable

from einops import rearrange
from keras import ops

from common.ops.gate_by_head import after, attend_by_head, within_by_head
from common.ops.gate_by_key import SMALLEST, attend_by_key
from common.ops.linear_scan import LOG_ZERO, linear_scan
from common.ops.operands import accumulation_dtype, check_pairs, check_rank
from common.ops.scan import scan_marked
from common.ops.time_axis import (
    expand_like,
    from_chunks,
    pad_time,
    to_chunks,
    zero_unless,
    zero_where_masked,
)
from common.typing import Tensor


def recurrent_gated_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    state: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
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

    def core(
        q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        groups = k.shape[2]
        xs = [rearrange(x, "b t (g r) d -> b t g r d", g=groups) for x in (q, k, v, log_decay)]

        def step(memory: Tensor, x: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            return gated_attention_step(*x, memory)[::-1]

        state = rearrange(state, "b (g r) k v -> b g r k v", g=groups)
        final, o = scan_marked(step, state, xs)
        final = rearrange(final, "b g r k v -> b (g r) k v")
        return rearrange(o, "b t g r v -> b t (g r) v"), final

    return _apply(core, q, k, v, log_decay, state, initial, mask, reset)


def parallel_gated_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    state: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Gated linear attention as one masked product, quadratic in T, for one gate a head.

    Arguments and results are those of `recurrent_gated_attention`. A `ValueError` is raised for
    more than `common.ops.operands.MOST_PAIRS` pairs of steps: there, take the chunkwise form.
    """
    check_pairs(v)
    if log_decay.shape[-1] != 1:
        raise ValueError(
            f"`log_decay` must have one gate a head, (B, T, H, 1), got {tuple(log_decay.shape)}"
        )

    def core(
        q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        groups = k.shape[2]
        q, k, v, log_decay = (
            rearrange(x, "b t (g r) d -> b g r t d", g=groups) for x in (q, k, v, log_decay)
        )
        state = rearrange(state, "b (g r) k v -> b g r k v", g=groups)
        since = ops.exp(ops.cumsum(log_decay, axis=-2))
        o = within_by_head(q, k, v, log_decay) + since * (q @ state)
        added = ops.swapaxes(k, -1, -2) @ (ops.exp(after(log_decay)) * v)
        final = rearrange(since[..., -1:, :] * state + added, "b g r k v -> b (g r) k v")
        return rearrange(o, "b g r t v -> b t (g r) v"), final

    return _apply(core, q, k, v, log_decay, state, initial, mask, reset)


def chunkwise_gated_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    state: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    chunk_size: int = 64,
) -> tuple[Tensor, Tensor]:
    """Gated linear attention, parallel inside chunks and recurrent between them.

    Arguments and results are those of `recurrent_gated_attention`, and `chunk_size`, the number of
    steps in a chunk, a power of two.
    """
    if chunk_size < 1 or chunk_size & (chunk_size - 1):
        raise ValueError(f"`chunk_size` must be a power of two, got {chunk_size}")

    def core(
        q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        length = ops.shape(v)[1]
        q, k, v, log_decay = (
            to_chunks(pad_time(x, chunk_size), chunk_size) for x in (q, k, v, log_decay)
        )
        attend = attend_by_head if log_decay.shape[-1] == 1 else attend_by_key
        o, final = attend(q, k, v, log_decay, state)
        return from_chunks(o, length), final

    return _apply(core, q, k, v, log_decay, state, initial, mask, reset)


def gated_attention_step(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """One step: `(..., H, K)`, `(..., H, K)`, `(..., H, V)`, `(..., H, 1 or K)` and the state.

    Returns:
        `(o, state)`: the output `(..., H, V)` and the new state `(..., H, K, V)`.
    """
    memory = ops.exp(log_decay)[..., None] * state + k[..., :, None] * v[..., None, :]
    return (q[..., None, :] @ memory)[..., 0, :], memory


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
    halves = 3 * max(0, chunk - SMALLEST)
    return flops + num_heads * steps * key_dim * (2 * chunk + halves)


def _apply(
    core: Callable,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    state: Tensor | None,
    initial: Tensor | None,
    mask: Tensor | None,
    reset: Tensor | None,
) -> tuple[Tensor, Tensor]:
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
    o, final = core(q, k, v, ops.where(forgets, LOG_ZERO, log_decay), state)
    if initial is not None:
        # What a reset puts back decays on its own, from the last reset on.
        initial = ops.cast(initial, dtype)
        since, last = linear_scan(ops.cast(~forgets, dtype), log_decay)
        seen = expand_like(ops.cumsum(ops.cast(reset, "int32"), axis=1) > 0, since)
        q = ops.repeat(q, v.shape[2] // q.shape[2], axis=2)
        o = o + ops.einsum("bthk,bhkv->bthv", zero_unless(seen, ops.exp(since)) * q, initial)
        final = final + zero_unless(seen[:, -1], ops.exp(last))[..., None] * initial
    return ops.cast(o, output_dtype), final


def _check(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> None:
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
