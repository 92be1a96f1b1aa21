"""Causal linear attention: the matrix state `S_t = S_{t-1} + k_t v_t^T`, read as `S_t^T q_t`.

Three forms of one function (Katharopoulos 2020, eq. 9 and 16-20; chunkwise: Hua 2022, Yang 2024):

- recurrent: a loop over time, O(T K V) and sequential;
- parallel: masked `(q k^T) v`, O(T^2 (K + V)), without a loop;
- chunkwise: parallel inside chunks of C steps, recurrent between them, O(T (C + K) (K + V)).

Queries and keys are expected after the feature map. With `normalise` the output is divided by
`z_t . q_t + epsilon`, where `z_t = z_{t-1} + k_t` is carried as one more column of the values.
"""

from collections.abc import Callable

from einops import rearrange
from keras import ops

from common.ops.chunk_states import states_before
from common.ops.operands import accumulation_dtype, check_heads, check_pairs
from common.ops.scan import scan_marked
from common.ops.time_axis import (
    from_chunks,
    pad_time,
    segment_ids,
    to_chunks,
    zero_unless,
    zero_where_masked,
)
from common.typing import Nest, Tensor


def recurrent_linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: Nest | None = None,
    *,
    initial: Nest | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    normalise: bool = False,
    epsilon: float = 1e-6,
) -> tuple[Tensor, Nest]:
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

    def core(q: Tensor, k: Tensor, v: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        def step(memory: Tensor, x: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            return linear_attention_step(*x, memory)[::-1]

        final, o = scan_marked(step, state, (q, k, v), mask=mask, reset=reset)
        return o, final

    return _attend(core, q, k, v, state, initial, mask, reset, normalise, epsilon)


def parallel_linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: Nest | None = None,
    *,
    initial: Nest | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    normalise: bool = False,
    epsilon: float = 1e-6,
) -> tuple[Tensor, Nest]:
    """Linear attention as one masked product, quadratic in T.

    Arguments and results are those of `recurrent_linear_attention`. A `ValueError` is raised for
    more than `common.ops.operands.MOST_PAIRS` pairs of steps: there, take the chunkwise form.
    """
    check_pairs(v)

    def core(q: Tensor, k: Tensor, v: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        o, final = _by_chunks(
            rearrange(q, "b t h k -> 1 b h t k"),
            rearrange(k, "b t h k -> 1 b h k t"),
            rearrange(v, "b t h v -> 1 b h t v"),
            None if reset is None else segment_ids(reset)[None],
            state,
        )
        return rearrange(o, "1 b h t v -> b t h v"), final

    return _attend(core, q, k, v, state, initial, mask, reset, normalise, epsilon)


def chunkwise_linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: Nest | None = None,
    *,
    initial: Nest | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    normalise: bool = False,
    epsilon: float = 1e-6,
    chunk_size: int = 64,
) -> tuple[Tensor, Nest]:
    """Linear attention, parallel inside chunks and recurrent between them.

    Arguments and results are those of `recurrent_linear_attention`, and `chunk_size`, the number
    of steps in a chunk.
    """
    if chunk_size < 1:
        raise ValueError(f"`chunk_size` must be positive, got {chunk_size}")

    def core(q: Tensor, k: Tensor, v: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        length = ops.shape(v)[1]
        segments = None
        if reset is not None:
            segments = segment_ids(to_chunks(pad_time(reset, chunk_size, False), chunk_size))
            segments = ops.swapaxes(segments, 0, 1)
        q, k, v = (to_chunks(pad_time(x, chunk_size), chunk_size) for x in (q, k, v))
        o, final = _by_chunks(
            rearrange(q, "b n c h k -> n b h c k"),
            rearrange(k, "b n c h k -> n b h k c"),
            rearrange(v, "b n c h v -> n b h c v"),
            segments,
            state,
        )
        return from_chunks(rearrange(o, "n b h c v -> b n c h v"), length), final

    return _attend(core, q, k, v, state, initial, mask, reset, normalise, epsilon)


def linear_attention_step(
    q: Tensor, k: Tensor, v: Tensor, state: Nest, *, normalise: bool = False, epsilon: float = 1e-6
) -> tuple[Tensor, Nest]:
    """One step: `(..., H, K)`, `(..., H, K)`, `(..., H, V)` and the state.

    Returns:
        `(o, state)`: the output `(..., H, V)` and the new state.
    """
    memory, normaliser = state if normalise else (state, None)
    memory = memory + k[..., :, None] * v[..., None, :]
    o = (q[..., None, :] @ memory)[..., 0, :]
    if not normalise:
        return o, memory
    normaliser = normaliser + k
    weight = ops.sum(normaliser * q, axis=-1, keepdims=True)
    return o / (weight + epsilon), (memory, normaliser)


def linear_attention_flops(
    form: str, length: int, key_dim: int, value_dim: int, chunk_size: int = 64
) -> int:
    """FLOPs of the matrix products of one sequence and head; a normaliser is one more value.

    Recurrent: `2 T K V`, to read; the updates are elementwise. Else there are chunks of C steps, T
    padded to whole ones, or one of T in the parallel form: `2 T (C K + C V + 2 K V)`.
    """
    if form == "recurrent":
        return 2 * length * key_dim * value_dim
    chunk = chunk_size if form == "chunkwise" else length
    padded = -(-length // chunk) * chunk
    return 2 * padded * (chunk * key_dim + chunk * value_dim + 2 * key_dim * value_dim)


def _attend(
    core: Callable,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: Nest | None,
    initial: Nest | None,
    mask: Tensor | None,
    reset: Tensor | None,
    normalise: bool,
    epsilon: float,
) -> tuple[Tensor, Nest]:
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
        o, weight = ops.split(o, (o.shape[-1] - 1,), axis=-1)
        o = o / (weight + epsilon)
        final = (final[..., :-1], final[..., -1])
    return ops.cast(o, output_dtype), final


def _join(state: tuple[Tensor, Tensor] | None) -> Tensor | None:
    """Appends the normaliser to the memory as its last column."""
    if state is None:
        return None
    memory, normaliser = state
    return ops.concatenate([memory, normaliser[..., None]], axis=-1)


def _by_chunks(
    q: Tensor, k: Tensor, v: Tensor, segments: Tensor | None, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Attends inside chunks, of which the parallel form has one, and to the states before them.

    Args:
        q: Queries `(N, B, H, C, K)`.
        k: Keys, transposed, `(N, B, H, K, C)`: both products take them so.
        v: Values `(N, B, H, C, V)`.
        segments: `(N, B, C)` document numbers, counted from 0 in each chunk, or None.
        state: `(B, H, K, V)`.

    Returns:
        `(o, final)`: `(N, B, H, C, V)` and `(B, H, K, V)`.
    """
    steps = ops.arange(ops.shape(q)[3])
    visible = steps[:, None] >= steps[None, :]
    kept, reading, writing = None, q, k
    if segments is not None:
        segments = segments[:, :, None]
        visible = visible & (segments[..., :, None] == segments[..., None, :])
        last = segments[..., -1:]
        kept = ops.cast(last == 0, v.dtype)[..., None]
        reading = zero_unless((segments == 0)[..., :, None], q)
        writing = zero_unless((segments == last)[..., None, :], k)
    before, final = states_before(writing @ v, state, kept)
    return zero_unless(visible, q @ k) @ v + reading @ before, final
