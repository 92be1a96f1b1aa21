"""The delta rule, with or without a gate that forgets.

    `S_t = a_t S_{t-1} + k_t e_t^T`,   `e_t = beta_t (v_t - a_t S_{t-1}^T k_t)`,   `o_t = S_t^T q_t`

The memory is corrected towards returning `v_t` for `k_t` (Schlag 2021, eq. 20-24); the gate `a_t`,
one number a head, forgets first (Yang 2025, "Gated delta networks", eq. 10), and is 1 without one.
The transition `a_t (I - beta_t k_t k_t^T)` is the identity minus a rank-one matrix, scaled, so a
chunk of C steps collapses into products of C x C matrices (Yang 2024, "Parallelizing linear
transformers with the delta rule", the WY and UT representation): with `G_ij = a_{j+1} ... a_i`, the
strictly lower triangular `A = tril(G * diag(beta) K K^T, -1)` and g_i the product of the chunk's
gates up to step i, the corrections E that the chunk writes are

    `E = (I + A)^-1 diag(beta) (V - diag(g) K S)`,
    `S' = g_C S + (diag(G_C) K)^T E`,    `O = diag(g) Q S + tril(G * Q K^T) E`,

where S is the state the chunk starts from. The inverse is made of forward substitutions, which are
the recurrence itself and therefore as safe as it, for every beta and for keys of any length.
Products of gates are exponentials of sums of logarithms that are never the difference of two
longer sums: gates of 0 and of 1 are exact.
"""

from collections.abc import Callable

from einops import rearrange
from keras import ops

from common.ops.linear_scan import LOG_ZERO, linear_scan
from common.ops.loops import chunk_loop
from common.ops.operands import accumulation_dtype, check_heads, check_rank
from common.ops.scan import scan_marked
from common.ops.time_axis import from_chunks, pad_time, zero_unless, zero_where_masked
from common.ops.triangular import unit_lower_inverse, unit_lower_inverse_flops
from common.typing import Tensor


def recurrent_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    state: Tensor | None = None,
    *,
    log_decay: Tensor | None = None,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The delta rule, one step after the other.

    16 bit inputs are accumulated in float32.

    Args:
        q: Queries `(B, T, H, K)`, after the feature map.
        k: Keys `(B, T, H, K)`, after the feature map.
        v: Values `(B, T, H, V)`.
        beta: Write strengths `(B, T, H)`.
        state: `S` before the first step, `(B, H, K, V)`; `initial` by default.
        log_decay: `log a`, at most 0, `(B, T, H)`; None never forgets.
        initial: `(B, H, K, V)`, what a reset puts back; zeros by default.
        mask: `(B, T)` bool; false leaves the state as it was.
        reset: `(B, T)` bool; true puts the state back to `initial` before the step.

    Returns:
        `(o, final)`: outputs `(B, T, H, V)` in the dtype of `v`, and the last state
        `(B, H, K, V)` in the accumulation dtype.

    Raises:
        ValueError: if an argument's shape does not fit the others'.
    """
    output_dtype = v.dtype
    q, k, v, beta, log_decay, state, initial = _prepare(
        q, k, v, beta, log_decay, state, initial, mask
    )
    steps = {"q": q, "k": k, "v": v, "beta": beta}
    if log_decay is not None:
        steps["log_decay"] = log_decay

    def step(memory: Tensor, x: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return delta_rule_step(state=memory, **x)[::-1]

    final, o = scan_marked(step, state, steps, initial, reset=reset)
    return ops.cast(o, output_dtype), final


def delta_rule_step(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, state: Tensor, *, log_decay: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One step: `(..., H, K)`, `(..., H, K)`, `(..., H, V)`, `(..., H)` twice, and the state.

    Returns:
        `(o, state)`: the output `(..., H, V)` and the new state `(..., H, K, V)`.
    """
    if log_decay is not None:
        state = ops.exp(log_decay)[..., None, None] * state
    error = v - (k[..., None, :] @ state)[..., 0, :]
    state = state + (beta[..., None] * k)[..., :, None] * error[..., None, :]
    return (q[..., None, :] @ state)[..., 0, :], state


def chunkwise_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    state: Tensor | None = None,
    *,
    log_decay: Tensor | None = None,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    chunk_size: int = 64,
) -> tuple[Tensor, Tensor]:
    """The delta rule, parallel inside chunks and recurrent between them.

    Arguments and results are those of `recurrent_delta_rule`, and `chunk_size`, the number of
    steps in a chunk.
    """
    if chunk_size < 1:
        raise ValueError(f"`chunk_size` must be positive, got {chunk_size}")
    output_dtype = v.dtype
    q, k, v, beta, log_decay, state, initial = _prepare(
        q, k, v, beta, log_decay, state, initial, mask
    )
    shares = None
    if reset is not None:
        if log_decay is None:
            log_decay = ops.zeros_like(beta[..., :1])  # the same for all heads
        forgets = reset[..., None]
        if initial is not None:
            # What a reset put back fades by itself, from the last reset on; the memory without
            # it obeys the delta rule with the values that it does not explain.
            since, _ = linear_scan(ops.cast(~forgets, log_decay.dtype), log_decay)
            seen = ops.cumsum(ops.cast(forgets, "int32"), axis=1) > 0
            shares = zero_unless(seen, ops.exp(since))[..., None]  # (B, T, H or 1, 1)
            v = v - shares * ops.einsum("bthk,bhkv->bthv", k, initial)
        log_decay = ops.where(forgets, ops.cast(LOG_ZERO, log_decay.dtype), log_decay)
    o, final = _in_chunks(q, k, v, beta, log_decay, state, chunk_size)
    if shares is not None:
        o = o + shares * ops.einsum("bthk,bhkv->bthv", q, initial)
        final = final + shares[:, -1, ..., None] * initial
    return ops.cast(o, output_dtype), final


def delta_rule_flops(length: int, key_dim: int, value_dim: int, chunk_size: int) -> int:
    """FLOPs of the matrix products of `chunkwise_delta_rule` for one sequence and head.

    `2 T (2 C K + 2 C V + 3 K V)` for T steps, padded to whole chunks of C = `chunk_size` or T, the
    smaller one, and those of the inverses.
    """
    size = min(chunk_size, length)
    step = 2 * size * (key_dim + value_dim) + 3 * key_dim * value_dim
    return -(-length // size) * (2 * size * step + unit_lower_inverse_flops(size))


def _prepare(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor | None,
    state: Tensor | None,
    initial: Tensor | None,
    mask: Tensor | None,
) -> tuple[Tensor, ...]:
    """Checks the arguments, casts them, and makes masked steps leave the state as it is."""
    check_heads(q, k, v)
    for name, x in (("beta", beta), ("log_decay", log_decay)):
        if x is None:
            continue
        check_rank(name, x, "B T H")
        if x.shape[2] != k.shape[2]:
            raise ValueError(
                f"`{name}` must have the {k.shape[2]} heads of `k`, got {tuple(x.shape)}"
            )
    dtype = accumulation_dtype(v)
    q, k, v = (ops.cast(x, dtype) for x in (q, k, v))
    beta = zero_where_masked(ops.cast(beta, dtype), mask)
    if log_decay is not None:
        log_decay = zero_where_masked(ops.cast(log_decay, dtype), mask)
    if initial is not None:
        initial = ops.cast(initial, dtype)
    if state is None:
        batch, _, heads, values = ops.shape(v)
        zeros = ops.zeros((batch, heads, k.shape[-1], values), dtype)
        state = zeros if initial is None else initial
    return q, k, v, beta, log_decay, ops.cast(state, dtype), initial


def _in_chunks(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor | None,
    state: Tensor,
    size: int,
) -> tuple[Tensor, Tensor]:
    """The delta rule without marks: what the chunks are made of, from `(B, T, H, ...)`."""
    length = ops.shape(v)[1]
    if isinstance(length, int):
        size = min(size, length)

    def chunks(x: Tensor) -> Tensor:
        # The chunks first: they are looped over.
        return rearrange(pad_time(x, size), "b (n c) h d -> n b h c d", c=size)

    q, k, v, beta = chunks(q), chunks(k), chunks(v), chunks(beta[..., None])
    steps = ops.arange(size)
    visible = steps[:, None] >= steps[None, :]
    k_transposed, strong = _transposed(k), beta * k
    system, scores = strong @ k_transposed, zero_unless(visible, q @ k_transposed)
    reading_k, reading_q, writing, keep = strong, q, k, None
    if log_decay is not None:
        log_decay = chunks(log_decay[..., None])
        # Row i, column j: the sum of log_decay from j + 1 to i, and no difference of longer sums.
        later = steps[:, None] > steps[None, :]
        between = ops.cumsum(zero_unless(later, log_decay), axis=-2)
        between = zero_unless(visible, ops.exp(zero_unless(visible, between)))
        since = ops.exp(ops.cumsum(log_decay, axis=-2))
        system, scores = between * system, between * scores
        reading_k, reading_q = since * strong, since * q
        writing = between[..., -1, :, None] * k
        keep = ops.broadcast_to(since[..., -1:, :], ops.shape(k[..., :1, :1]))
    o, final = _solve(system, scores, reading_k, reading_q, writing, keep, beta * v, state)
    return from_chunks(rearrange(o, "n b h c d -> b n c h d"), length), final


def _solve(
    system: Tensor,
    scores: Tensor,
    reading_k: Tensor,
    reading_q: Tensor,
    writing: Tensor,
    keep: Tensor | None,
    values: Tensor,
    state: Tensor,
) -> tuple[Tensor, Tensor]:
    """Solves the chunks one after the other, with a custom gradient.

    Chunk n computes `e = (I + tril(system, -1))^-1 (values - reading_k s)` from the state s, reads
    `reading_q s + scores e`, and leaves the state `keep s + writing^T e`.

    Args:
        system: `(N, B, H, C, C)`.
        scores: `(N, B, H, C, C)`.
        reading_k: `(N, B, H, C, K)`; `reading_q` and `writing` alike.
        reading_q: See `reading_k`.
        writing: See `reading_k`.
        keep: `(N, B, H, 1, 1)`, or None for 1.
        values: `(N, B, H, C, V)`.
        state: `(B, H, K, V)`.

    Returns:
        `(o, final)`: `(N, B, H, C, V)` and `(B, H, K, V)`.
    """

    @ops.custom_gradient
    def solve(
        system: Tensor,
        scores: Tensor,
        reading_k: Tensor,
        reading_q: Tensor,
        writing: Tensor,
        values: Tensor,
        state: Tensor,
        *keep: Tensor,
    ) -> tuple[Tensor, Callable]:
        size = system.shape[-1]
        inverse = unit_lower_inverse(ops.reshape(system, (-1, size, size)))
        inverse = ops.reshape(inverse, ops.shape(system))

        def step(
            state: Tensor,
            inverse: Tensor,
            reading_k: Tensor,
            writing: Tensor,
            values: Tensor,
            *keep: Tensor,
        ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            errors = inverse @ (values - reading_k @ state)
            kept = keep[0] * state if keep else state
            return kept + _transposed(writing) @ errors, (state, errors)

        final, (before, errors) = chunk_loop(
            step, state, (inverse, reading_k, writing, values, *keep)
        )
        o = reading_q @ before + scores @ errors

        def grad(*args: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, ...]:
            d_o, d_final = _unpack(args[0] if upstream is None else upstream, o, final)
            d_errors = _transposed(scores) @ d_o
            d_before = _transposed(reading_q) @ d_o

            def step_back(
                d_after: Tensor,
                inverse: Tensor,
                reading_k: Tensor,
                writing: Tensor,
                d_errors: Tensor,
                d_before: Tensor,
                *keep: Tensor,
            ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
                d_right = _transposed(inverse) @ (d_errors + writing @ d_after)
                kept = keep[0] * d_after if keep else d_after
                return kept + d_before - _transposed(reading_k) @ d_right, (d_after, d_right)

            xs = (inverse, reading_k, writing, d_errors, d_before, *keep)
            d_state, (d_after, d_right) = chunk_loop(step_back, d_final, xs, reverse=True)
            steps = ops.arange(size)
            # With d inverse = d_right right^T and d system = -inverse^T d_inverse inverse^T.
            negative = -d_right
            d_system = negative @ _transposed(errors)
            gradients = (
                zero_unless(steps[:, None] > steps[None, :], d_system),
                d_o @ _transposed(errors),
                negative @ _transposed(before),
                d_o @ _transposed(before),
                errors @ _transposed(d_after),
                d_right,
                d_state,
            )
            if not keep:
                return gradients
            return (*gradients, ops.sum(d_after * before, axis=(-2, -1), keepdims=True))

        # Torch gives a gradient to one result only.
        return ops.concatenate([ops.reshape(x, (-1,)) for x in (o, final)]), grad

    gates = () if keep is None else (keep,)
    solved = solve(system, scores, reading_k, reading_q, writing, values, state, *gates)
    return _unpack(solved, values, state)


def _unpack(flat: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Cuts a vector into one tensor shaped as `first` and one as `second`."""
    count = ops.size(first)
    return ops.reshape(flat[:count], ops.shape(first)), ops.reshape(flat[count:], ops.shape(second))


def _transposed(x: Tensor) -> Tensor:
    return ops.swapaxes(x, -1, -2)
