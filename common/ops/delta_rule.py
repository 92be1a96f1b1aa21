"""The delta rule: `S_t = S_{t-1} + beta_t k_t (v_t - S_{t-1}^T k_t)^T`, read as `S_t^T q_t`.

The memory is corrected towards returning `v_t` for `k_t` (Schlag 2021, eq. 20-24). Its
transition `I - beta_t k_t k_t^T` is the identity minus a rank-one matrix, so a chunk of C steps
collapses into products of C x C matrices (Yang 2024, "Parallelizing linear transformers with the
delta rule", the WY and UT representation): with the strictly lower triangular
`A = tril(diag(beta) K K^T, -1)`, the corrections that the chunk writes are

    `E = (I + A)^-1 diag(beta) (V - K S)`,    `S' = S + K^T E`,    `O = Q S + tril(Q K^T) E`,

where S is the state the chunk starts from. The triangular system is solved by forward
substitution, which is the recurrence itself and therefore as safe as it, for every beta and for
keys of any length.
"""

from einops import rearrange
from keras import ops

from common.ops.scan import scan
from common.ops.sequence import (
    accumulation_dtype,
    check_heads,
    check_rank,
    from_chunks,
    pad_time,
    scan_marked,
    segment_ids,
    to_chunks,
    zero_unless,
    zero_where_masked,
)


def recurrent_delta_rule(q, k, v, beta, state=None, *, initial=None, mask=None, reset=None):
    """The delta rule, one step after the other.

    16 bit inputs are accumulated in float32.

    Args:
        q: Queries `(B, T, H, K)`, after the feature map.
        k: Keys `(B, T, H, K)`, after the feature map.
        v: Values `(B, T, H, V)`.
        beta: Write strengths `(B, T, H)`.
        state: `S` before the first step, `(B, H, K, V)`; `initial` by default.
        initial: `(B, H, K, V)`, what a reset puts back; zeros by default.
        mask: `(B, T)` bool; false leaves the state as it was.
        reset: `(B, T)` bool; true puts the state back to `initial` before the step.

    Returns:
        `(o, final)`: outputs `(B, T, H, V)` in the dtype of `v`, and the last state
        `(B, H, K, V)` in the accumulation dtype.
    """

    def core(q, k, v, beta, state):
        def step(memory, x):
            q, k, v, beta = x
            error = v - (k[..., None, :] @ memory)[..., 0, :]
            memory = memory + (beta[..., None] * k)[..., :, None] * error[..., None, :]
            return memory, (q[..., None, :] @ memory)[..., 0, :]

        final, o = scan_marked(step, state, (q, k, v, beta), reset=reset)
        return o, final

    return _apply(core, q, k, v, beta, state, initial, mask, reset)


def chunkwise_delta_rule(
    q, k, v, beta, state=None, *, initial=None, mask=None, reset=None, chunk_size: int = 64
):
    """The delta rule, parallel inside chunks and recurrent between them.

    Arguments and results are those of `recurrent_delta_rule`, and `chunk_size`, the number of
    steps in a chunk.
    """
    if chunk_size < 1:
        raise ValueError(f"`chunk_size` must be positive, got {chunk_size}")

    def core(q, k, v, beta, state):
        length = ops.shape(v)[1]

        def chunks(x, value=0):
            return to_chunks(pad_time(x, chunk_size, value), chunk_size)

        q, k, v = (rearrange(chunks(x), "b n c h d -> b n h c d") for x in (q, k, v))
        beta = rearrange(chunks(beta), "b n c h -> b n h c 1")
        segments = None if reset is None else segment_ids(chunks(reset, False))
        o, final = _between_chunks(q, k, v, beta, segments, state)
        return from_chunks(rearrange(o, "b n h c d -> b n c h d"), length), final

    return _apply(core, q, k, v, beta, state, initial, mask, reset)


def _apply(core, q, k, v, beta, state, initial, mask, reset):
    """Reduces the general case to `core(q, k, v, beta, state)`, whose resets put back zeros."""
    check_heads(q, k, v)
    check_rank("beta", beta, "B T H")
    if beta.shape[2] != k.shape[2]:
        raise ValueError(f"`beta` must have the {k.shape[2]} heads of `k`, got {tuple(beta.shape)}")
    output_dtype, dtype = v.dtype, accumulation_dtype(v)
    q, k, v, beta = (ops.cast(x, dtype) for x in (q, k, v, beta))
    beta = zero_where_masked(beta, mask)
    if initial is not None:
        initial = ops.cast(initial, dtype)
    if state is None:
        batch, _, heads, values = ops.shape(v)
        zeros = ops.zeros((batch, heads, k.shape[-1], values), dtype)
        state = zeros if initial is None else initial
    state = ops.cast(state, dtype)
    if initial is None or reset is None:
        o, final = core(q, k, v, beta, state)
    else:
        # S - initial obeys the delta rule with the values that initial does not explain yet.
        v = v - ops.einsum("bthk,bhkv->bthv", k, initial)
        o, final = core(q, k, v, beta, state - initial)
        o = o + ops.einsum("bthk,bhkv->bthv", q, initial)
        final = final + initial
    return ops.cast(o, output_dtype), final


def _between_chunks(q, k, v, beta, segments, state):
    """Solves every chunk for any starting state, then loops over the chunks.

    Args:
        q: `(B, N, H, C, K)`; `k` alike.
        k: Keys.
        v: `(B, N, H, C, V)`.
        beta: `(B, N, H, C, 1)`.
        segments: `(B, N, C)` document numbers, counted from 0 in each chunk, or None.
        state: `(B, H, K, V)`.

    Returns:
        `(o, final)`: `(B, N, H, C, V)` and `(B, H, K, V)`.
    """
    size = q.shape[3]
    steps = ops.arange(size)
    visible = steps[:, None] >= steps[None, :]
    earlier = steps[:, None] > steps[None, :]
    reading_k, reading_q, writing = k, q, k
    keep = ops.ones_like(k[:, :, :1, :1, :1])  # (B, N, 1, 1, 1)
    if segments is not None:
        segments = segments[:, :, None]  # (B, N, 1, C)
        same = segments[..., :, None] == segments[..., None, :]
        visible, earlier = visible & same, earlier & same
        last = segments[..., -1:]
        first_document = (segments == 0)[..., None]
        reading_k = zero_unless(first_document, k)
        reading_q = zero_unless(first_document, q)
        writing = zero_unless((segments == last)[..., None], k)
        keep = ops.cast((last == 0)[..., None], k.dtype)
    k_transposed = ops.swapaxes(k, -1, -2)
    system = ops.where(earlier, (beta * k) @ k_transposed, ops.eye(size, dtype=k.dtype))
    solved = ops.solve_triangular(
        system, beta * ops.concatenate([v, reading_k], axis=-1), lower=True
    )
    own, from_state = solved[..., : v.shape[-1]], solved[..., v.shape[-1] :]
    writing = ops.swapaxes(writing, -1, -2)

    def step(memory, x):
        own, from_state, writing, keep = x
        correction = own - from_state @ memory
        return keep * memory + writing @ correction, (memory, correction)

    final, (before, corrections) = scan(step, state, (own, from_state, writing, keep))
    scores = zero_unless(visible, q @ k_transposed)
    return scores @ corrections + reading_q @ before, final
