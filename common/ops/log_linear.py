"""Log-linear attention (Guo 2025): gated attention and the gated delta rule, read by levels.

    `o_t = sum_l w_tl S_tl^T q_t`,   `S_t = sum_l S_tl`

S is the memory of `gated_attention`, one gate a head, or of `delta_rule`, and its parts S_tl are
those of the steps of level l (`fenwick`). With all weights 1 the outputs are the two ops'.

- recurrent: a loop over time, O(T L K V);
- in chunks of C steps: O(T C (L + K + V) + T L K V); one chunk of all T is the parallel form.

A state is `{"memory": (B, H, L - 1, K, V), "count": (B,) int32}`.
"""

from collections.abc import Callable

from einops import rearrange
from keras import ops

from common.ops.fenwick import MOST_LEVELS, count_before, fenwick_chunks, fenwick_step
from common.ops.linear_scan import LOG_ZERO
from common.ops.operands import accumulation_dtype, check_heads, check_pairs, check_rank
from common.ops.time_axis import expand_like, from_chunks, pad_time, zero_unless, zero_where_masked
from common.ops.triangular import unit_lower_inverse, unit_lower_inverse_flops
from common.typing import Tensor

State = dict[str, Tensor]


def log_linear_gated_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    weights: Tensor,
    state: State | None = None,
    *,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    chunk_size: int | None = 64,
) -> tuple[Tensor, State]:
    """Gated attention with one gate a head, read by levels.

    16 bit inputs are accumulated in float32.

    Args:
        q: Queries `(B, T, H, K)`.
        k: Keys `(B, T, H, K)`.
        v: Values `(B, T, H, V)`.
        log_decay: `log a`, finite and at most 0, `(B, T, H)`.
        weights: Of the levels, `(B, T, H, L)`.
        state: The state before the first step; an empty one by default.
        mask: `(B, T)` bool; false leaves the state as it was, and the step is not counted.
        reset: `(B, T)` bool; true empties the state before the step.
        chunk_size: Steps in a chunk, or None for one chunk of all steps.

    Returns:
        `(o, state)`: outputs `(B, T, H, V)` in the dtype of `v`, and the last state, in the
        accumulation dtype.

    Raises:
        ValueError: if an argument's shape does not fit the others', or there are more than
            `common.ops.operands.MOST_PAIRS` pairs of steps in one chunk of all.
    """

    def chunks(q: Tensor, k: Tensor, log_decay: Tensor) -> tuple[Tensor, ...]:
        between, since = _decays(log_decay)
        until = between[..., -1, :, None]
        return between * (q @ _transposed(k)), since * q, until * k, since[..., -1:, :]

    return _apply(chunks, q, k, v, log_decay, None, weights, state, mask, reset, chunk_size)


def log_linear_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    beta: Tensor,
    weights: Tensor,
    state: State | None = None,
    *,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    chunk_size: int = 64,
) -> tuple[Tensor, State]:
    """The gated delta rule, read by levels.

    With `delta_rule`'s names for a chunk, `E = (I + A)^-1 diag(beta) (V - diag(g) K S)`, what is
    linear in V and in S is

        `P = tril(G * Q K^T) (I + A)^-1 diag(beta)`, each step's reading of each value,
        `diag(g) Q - tril(G * Q K^T) (I + A)^-1 diag(beta g) K`, its reading of S, and alike what is
        left of values and of S, with `diag(G_C) K` for the queries.

    Arguments and results are those of `log_linear_gated_attention`, and `beta`, write strengths
    `(B, T, H)`; `chunk_size` is a number.
    """

    def chunks(q: Tensor, k: Tensor, log_decay: Tensor, beta: Tensor) -> tuple[Tensor, ...]:
        between, since = _decays(log_decay)
        strong, k_transposed = beta * k, _transposed(k)
        solve = _inverse(between * (strong @ k_transposed))
        scores = between * (q @ k_transposed)
        met = solve @ (since * strong)
        left = _transposed(between[..., -1, :, None] * k)
        by_value = _transposed(beta)
        identity = ops.eye(k.shape[-1], dtype=k.dtype)
        return (
            (scores @ solve) * by_value,
            since * q - scores @ met,
            _transposed((left @ solve) * by_value),
            since[..., -1:, :] * identity - left @ met,
        )

    return _apply(chunks, q, k, v, log_decay, beta, weights, state, mask, reset, chunk_size)


def log_linear_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    weights: Tensor,
    state: State,
    *,
    beta: Tensor | None = None,
) -> tuple[Tensor, State]:
    """One step, of the delta rule with `beta (B, H)` and of gated attention without.

    Args:
        q: `(B, H, K)`; `k` alike.
        k: See `q`.
        v: `(B, H, V)`.
        log_decay: `(B, H)`.
        weights: `(B, H, L)`.
        state: The state before the step.
        beta: See above.

    Returns:
        `(o, state)`: `(B, H, V)`, and the state after it.
    """
    memories = ops.exp(log_decay)[..., None, None, None] * state["memory"]
    if beta is not None:
        written = beta[..., None] * k
        met = k[:, :, None, None] @ memories  # (B, H, L - 1, 1, V)
        memories = memories - written[:, :, None, :, None] * met
        k = written
    o, memories, count = fenwick_step(
        q, weights, memories, k[..., :, None] * v[..., None, :], state["count"]
    )
    return o, {"memory": memories, "count": count}


def log_linear_flops(
    form: str,
    length: int,
    key_dim: int,
    value_dim: int,
    num_levels: int,
    *,
    delta: bool = False,
    chunk_size: int = 64,
) -> int:
    """FLOPs of the matrix products of one sequence and head.

    Recurrent: `2 T L K V` to read, and `2 T (L - 1) K V` for the delta rule's errors. Else, of
    chunks of C steps, T padded to whole ones, or one of T: `2 T (C (C + 1 + K + V) + L C)` inside
    them, for sums of gates, scores, values and weights, and `2 T (L - 1) (L + 2 K V)` for the
    memories; and with the delta rule `2 T (C (C + 4 K) + K^2 + (L - 1) K^2 V / C)` and those of the
    inverses.

    Args:
        form: `"recurrent"`, `"parallel"` or `"chunkwise"`.
        length: T.
        key_dim: K.
        value_dim: V.
        num_levels: L.
        delta: Whether it is the delta rule.
        chunk_size: C of the chunkwise form.
    """
    older, memory = num_levels - 1, key_dim * value_dim
    if form == "recurrent":
        return 2 * length * memory * (num_levels + (older if delta else 0))
    size = length if form == "parallel" else min(chunk_size, length)
    step = size * (size + 1 + key_dim + value_dim + num_levels) + older * (num_levels + 2 * memory)
    if delta:
        step += size * (size + 4 * key_dim) + key_dim**2
    chunk = 2 * size * step
    if delta:
        chunk += 2 * older * key_dim * memory + unit_lower_inverse_flops(size)
    return -(-length // size) * chunk


def _apply(
    chunks: Callable,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    beta: Tensor | None,
    weights: Tensor,
    state: State | None,
    mask: Tensor | None,
    reset: Tensor | None,
    chunk_size: int | None,
) -> tuple[Tensor, State]:
    """All but what a chunk is made of, `chunks(q, k, log_decay, beta)`, `(B, N, H, C, ...)`."""
    _check(q, k, v, log_decay, beta, weights, chunk_size)
    output_dtype, dtype = v.dtype, accumulation_dtype(v)
    batch, length, heads = ops.shape(v)[:3]
    sizes = (weights.shape[-1] - 1, k.shape[-1], v.shape[-1])
    before, after = count_before(None if state is None else state["count"], v, mask, reset)
    memories = ops.zeros((batch, heads, *sizes), dtype) if state is None else state["memory"]
    q, k, v, log_decay, weights = (ops.cast(x, dtype) for x in (q, k, v, log_decay, weights))
    # A masked step writes nothing and keeps everything.
    k, log_decay = zero_where_masked(k, mask), zero_where_masked(log_decay, mask)
    if reset is not None:
        log_decay = ops.where(expand_like(reset, log_decay), ops.cast(LOG_ZERO, dtype), log_decay)
    steps = [q, k, v, log_decay[..., None], weights]
    if beta is not None:
        steps.append(zero_where_masked(ops.cast(beta, dtype), mask)[..., None])
    if chunk_size is None:
        check_pairs(v)
        steps, before = [ops.swapaxes(x, 1, 2)[:, None] for x in steps], before[:, None]
    else:
        size = min(chunk_size, length) if isinstance(length, int) else chunk_size
        steps = [rearrange(pad_time(x, size), "b (n c) h d -> b n h c d", c=size) for x in steps]
        before = rearrange(pad_time(before, size), "b (n c) -> b n c", c=size)
    q, k, v, log_decay, weights, *strength = steps
    pairs, reads, writes, kept = chunks(q, k, log_decay, *strength)
    o, memories = fenwick_chunks(
        pairs,
        reads,
        writes,
        kept,
        v,
        weights,
        ops.cast(memories, dtype),
        before,
        ops.concatenate([before[:, 1:, 0], after[:, None]], axis=1),
    )
    o = from_chunks(ops.swapaxes(o, 2, 3), length)
    state = {"memory": memories, "count": ops.broadcast_to(after, (batch,))}
    return ops.cast(o, output_dtype), state


def _decays(log_decay: Tensor) -> tuple[Tensor, Tensor]:
    """Products of gates `(..., C, 1)`: from each step to each later one, and from the start.

    Returns:
        `(between, since)`: `(..., C, C)`, row i and column j those from j + 1 to i and 0 for j > i,
        and `(..., C, 1)`.
    """
    steps = ops.arange(ops.shape(log_decay)[-2])
    visible, later = steps[:, None] >= steps, steps[:, None] > steps
    # Sums as products, as `cumsum` is slow on a CPU; and no differences of longer sums.
    upto = ops.cast(visible, log_decay.dtype)
    between = ops.exp(upto @ zero_unless(later, log_decay))
    return zero_unless(visible, between), ops.exp(upto @ log_decay)


def _inverse(a: Tensor) -> Tensor:
    """`(I + tril(a, -1))^-1` of `(..., C, C)`, with a custom gradient: two more products."""

    @ops.custom_gradient
    def inverse(a: Tensor) -> tuple[Tensor, Callable]:
        size = a.shape[-1]
        x = ops.reshape(unit_lower_inverse(ops.reshape(a, (-1, size, size))), ops.shape(a))

        def grad(*args: Tensor, upstream: Tensor | None = None) -> Tensor:
            d_x = args[0] if upstream is None else upstream
            steps, x_transposed = ops.arange(size), _transposed(x)
            return zero_unless(steps[:, None] > steps, -(x_transposed @ d_x @ x_transposed))

        return x, grad

    return inverse(a)


def _transposed(x: Tensor) -> Tensor:
    return ops.swapaxes(x, -1, -2)


def _check(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    beta: Tensor | None,
    weights: Tensor,
    chunk_size: int | None,
) -> None:
    check_heads(q, k, v)
    check_rank("weights", weights, "B T H L")
    for name, x in (("log_decay", log_decay), ("beta", beta)):
        if x is not None:
            check_rank(name, x, "B T H")
    for name, x in (("log_decay", log_decay), ("beta", beta), ("weights", weights)):
        if x is not None and x.shape[2] != k.shape[2]:
            raise ValueError(
                f"`{name}` must have the {k.shape[2]} heads of `k`, got {tuple(x.shape)}"
            )
    if not 2 <= weights.shape[3] <= MOST_LEVELS:
        raise ValueError(
            f"`weights` must be of 2 to {MOST_LEVELS} levels, got {tuple(weights.shape)}"
        )
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"`chunk_size` must be positive, got {chunk_size}")
