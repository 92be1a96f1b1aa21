"""Causal linear attention: the matrix state `S_t = S_{t-1} + k_t v_t^T`, read as `S_t^T q_t`.

Three forms of one function (Katharopoulos 2020, eq. 9 and 16-20; chunkwise: Hua 2022, Yang 2024):

- recurrent: a loop over time, O(T K V) and sequential;
- parallel: masked `(q k^T) v`, O(T^2 (K + V)), without a loop;
- chunkwise: parallel inside chunks of C steps, recurrent between them, O(T (C + K) (K + V)).

Queries and keys are expected after the feature map. With `normalise` the output is divided by
`z_t . q_t + epsilon`, where `z_t = z_{t-1} + k_t` is carried as one more column of the values.
"""

from typing import Any

from einops import rearrange
from keras import ops

from common.ops.sequence import (
    accumulation_dtype,
    check_heads,
    from_chunks,
    pad_time,
    scan_marked,
    segment_ids,
    to_chunks,
    zero_unless,
    zero_where_masked,
)
from common.ops.time_loop import time_loop

State = Any


def recurrent_linear_attention(
    q,
    k,
    v,
    state: State | None = None,
    *,
    initial: State | None = None,
    mask=None,
    reset=None,
    normalise: bool = False,
    epsilon: float = 1e-6,
):
    """Linear attention, one step after the other.

    16 bit inputs are accumulated in float32.

    Args:
        q: Queries `(B, T, H, K)`.
        k: Keys `(B, T, H, K)`.
        v: Values `(B, T, H, V)`.
        state: `S` before the first step, `(B, H, K, V)`; with `normalise` the pair `(S, z)`, `z`
            of shape `(B, H, K)`. `initial` by default.
        initial: What a reset puts back, structured as `state`; zeros by default.
        mask: `(B, T)` bool; false leaves the state as it was.
        reset: `(B, T)` bool; true puts the state back to `initial` before the step.
        normalise: Whether to divide by `z_t . q_t + epsilon`.
        epsilon: Keeps the normaliser from zero.

    Returns:
        `(o, final)`: outputs `(B, T, H, V)` in the dtype of `v`, and the last state, structured
        as `state`, in the accumulation dtype.
    """

    def core(q, k, v, state):
        def step(memory, x):
            q, k, v = x
            memory = memory + k[..., :, None] * v[..., None, :]
            return memory, (q[..., None, :] @ memory)[..., 0, :]

        final, o = scan_marked(step, state, (q, k, v), mask=mask, reset=reset)
        return o, final

    return _attend(core, q, k, v, state, initial, mask, reset, normalise, epsilon)


def parallel_linear_attention(
    q,
    k,
    v,
    state: State | None = None,
    *,
    initial: State | None = None,
    mask=None,
    reset=None,
    normalise: bool = False,
    epsilon: float = 1e-6,
):
    """Linear attention as one masked product, quadratic in T.

    Arguments and results are those of `recurrent_linear_attention`.
    """

    def core(q, k, v, state):
        segments = None if reset is None else segment_ids(reset)[:, None]

        def carry(kv, keep):
            before = state[:, None]
            return before, (zero_where_masked(before, keep) + kv)[:, 0]

        o, final = _within_chunks(
            rearrange(q, "b t h k -> b 1 h t k"),
            rearrange(k, "b t h k -> b 1 h k t"),
            rearrange(v, "b t h v -> b 1 h t v"),
            segments,
            carry,
        )
        return rearrange(o, "b 1 h t v -> b t h v"), final

    return _attend(core, q, k, v, state, initial, mask, reset, normalise, epsilon)


def chunkwise_linear_attention(
    q,
    k,
    v,
    state: State | None = None,
    *,
    initial: State | None = None,
    mask=None,
    reset=None,
    normalise: bool = False,
    epsilon: float = 1e-6,
    chunk_size: int = 64,
):
    """Linear attention, parallel inside chunks and recurrent between them.

    Arguments and results are those of `recurrent_linear_attention`, and `chunk_size`, the number
    of steps in a chunk.
    """
    if chunk_size < 1:
        raise ValueError(f"`chunk_size` must be positive, got {chunk_size}")

    def core(q, k, v, state):
        length = ops.shape(v)[1]
        segments = None
        if reset is not None:
            segments = segment_ids(to_chunks(pad_time(reset, chunk_size, False), chunk_size))
        q, k, v = (to_chunks(pad_time(x, chunk_size), chunk_size) for x in (q, k, v))
        o, final = _within_chunks(
            rearrange(q, "b n c h k -> b n h c k"),
            rearrange(k, "b n c h k -> b n h k c"),
            rearrange(v, "b n c h v -> b n h c v"),
            segments,
            lambda kv, keep: _carry(kv, keep, state),
        )
        return from_chunks(rearrange(o, "b n h c v -> b n c h v"), length), final

    return _attend(core, q, k, v, state, initial, mask, reset, normalise, epsilon)


def _attend(core, q, k, v, state, initial, mask, reset, normalise, epsilon):
    """Reduces the general case to `core(q, k, v, state)`, whose resets put back zeros."""
    check_heads(q, k, v)
    output_dtype, dtype = v.dtype, accumulation_dtype(v)
    q, k, v = (ops.cast(x, dtype) for x in (q, k, v))
    k = zero_where_masked(k, mask)
    if normalise:
        v = ops.concatenate([v, ops.ones_like(v[..., :1])], axis=-1)
        state, initial = _join(state), _join(initial)
    initial = None if initial is None else ops.cast(initial, dtype)
    if state is None:
        batch, _, heads, width = ops.shape(v)
        zeros = ops.zeros((batch, heads, k.shape[-1], width), dtype)
        state = zeros if initial is None else initial
    state = ops.cast(state, dtype)
    # S - initial obeys the same recurrence and is put back to zero.
    shifted = initial is not None and reset is not None
    o, final = core(q, k, v, state - initial if shifted else state)
    if shifted:
        o = o + ops.einsum("bthk,bhkv->bthv", q, initial)
        final = final + initial
    if normalise:
        o = o[..., :-1] / (o[..., -1:] + epsilon)
        final = (final[..., :-1], final[..., -1])
    return ops.cast(o, output_dtype), final


def _join(state):
    """Appends the normaliser to the memory as its last column."""
    if state is None:
        return None
    memory, normaliser = state
    return ops.concatenate([memory, normaliser[..., None]], axis=-1)


def _within_chunks(q, k, v, segments, carry):
    """Attends inside chunks, and to the states they start from.

    Args:
        q: Queries `(B, N, H, C, K)`.
        k: Keys, transposed, `(B, N, H, K, C)`: both products take them so.
        v: Values `(B, N, H, C, V)`.
        segments: `(B, N, C)` document numbers, counted from 0 in each chunk, or None.
        carry: `(kv, keep) -> (before, final)`: from what each chunk adds, `(B, N, H, K, V)`, and
            from whether it keeps what came before, `(B, N)` bool or None, the states that the
            chunks start from and the one after the last.

    Returns:
        `(o, final)`: `(B, N, H, C, V)` and `(B, H, K, V)`.
    """
    steps = ops.arange(ops.shape(q)[3])
    visible = steps[:, None] >= steps[None, :]
    keep, reading, writing = None, q, k
    if segments is not None:
        segments = segments[:, :, None]
        visible = visible & (segments[..., :, None] == segments[..., None, :])
        last = segments[..., -1:]
        keep = last[:, :, 0, 0] == 0
        reading = zero_unless((segments == 0)[..., :, None], q)
        writing = zero_unless((segments == last)[..., None, :], k)
    before, final = carry(writing @ v, keep)
    return zero_unless(visible, q @ k) @ v + reading @ before, final


def _carry(kv, keep, state):
    """The states before each chunk and after the last, a scan over the chunks."""
    if keep is not None:
        keep = ops.cast(keep, kv.dtype)[:, :, None, None, None]

    def step(state, kv, *keep):
        return (keep[0] * state if keep else state) + kv, state

    def step_back(adjoint, g, *keep):
        return (keep[0] * adjoint if keep else adjoint) + g, adjoint

    gates, padding = ((), (0,)) if keep is None else ((keep,), (0, 1))

    @ops.custom_gradient
    def states_before(kv, state):
        _, before = time_loop(step, state, (kv, *gates), padding)

        def grad(*args, upstream=None):
            g = args[0] if upstream is None else upstream
            start = ops.zeros_like(state)
            d_state, d_kv = time_loop(step_back, start, (g, *gates), padding, reverse=True)
            return d_kv, d_state

        return before, grad

    before = states_before(kv, state)
    final, _ = step(before[:, -1], kv[:, -1], *(gate[:, -1] for gate in gates))
    return before, final
