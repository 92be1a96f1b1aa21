"""The generalised delta rule: a transition that is diagonal plus a matrix of rank one.

    `S_t = (diag(a_t) + l_t r_t^T) S_{t-1} + k_t v_t^T`,   `o_t = S_t^T q_t`

The memory forgets by a gate a key dimension; what r finds in it, as the step before left it, is
written along l (Peng 2025, RWKV-7, section 4; "diagonal plus low rank"). With `l = -k` it is

    `S_t = diag(a_t) S_{t-1} + k_t (v_t - S_{t-1}^T r_t)^T`,

of which the delta rules are cases, `u` being a key:

| rule | k | r | v |
|---|---|---|---|
| DeltaNet (`a = 1`) and Gated DeltaNet (a number a head) | `u` | `a beta u` | `beta v` |
| Kimi delta attention (Kimi 2025, eq. 1) | `u` | `a beta u` | `beta v` |
| Gated DeltaNet-2 (Hatamizadeh 2026), erasing b and writing w | `u` | `a b u` | `w v` |

A chunk of C steps that starts from the state S collapses into products of C x C matrices (the WY
and UT representation; Kimi 2025, eq. 6-9). Let G_ij = a_{j+1} ... a_i be the gates between two
steps, g_i those of the chunk up to step i, and `<x, y>_ij = x_i^T diag(G_ij) y_j`, strictly lower
triangular where x is r, of which the gates end one step earlier, at i - 1. With l = -k,

    `E = (I + <r, k>)^-1 (V - diag(g_{i-1}) R S)`,
    `S' = diag(g_C) S + (G_C K)^T E`,   `O = diag(g) Q S + <q, k> E`,

and in general E is what the r find, and what l and k write are apart:

    `E = (I - <r, l>)^-1 (<r, k> V + diag(g_{i-1}) R S)`,
    `S' = diag(g_C) S + (G_C L)^T E + (G_C K)^T V`,   `O = diag(g) Q S + <q, l> E + <q, k> V`:

four matrices of scores for two. The inverse is made of forward substitutions, the recurrence
itself. Gates between steps are exponentials of sums of their logarithms that are never the
difference of two longer sums, and no product of gates is divided by: gates of 0 and of 1 are exact.
"""

from collections.abc import Callable

import numpy as np
from einops import rearrange
from keras import ops

from common.ops.gate_by_head import later_than, up_to
from common.ops.linear_scan import LOG_ZERO, linear_scan
from common.ops.loops import chunk_loop
from common.ops.operands import accumulation_dtype, check_heads, check_rank
from common.ops.scan import scan_marked
from common.ops.time_axis import (
    expand_like,
    from_chunks,
    pad_time,
    previous,
    zero_unless,
    zero_where_masked,
)
from common.ops.triangular import unit_lower_inverse, unit_lower_inverse_flops
from common.typing import Tensor

# Steps below which a block of scores is not halved any more.
_SMALLEST = 4


def recurrent_generalized_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    right: Tensor,
    log_decay: Tensor,
    state: Tensor | None = None,
    *,
    left: Tensor | None = None,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The generalised delta rule, one step after the other.

    16 bit inputs are accumulated in float32.

    Args:
        q: Queries `(B, T, H, K)`.
        k: Keys `(B, T, H, K)`.
        v: Values `(B, T, H, V)`.
        right: r, what the memory before the step is read with, `(B, T, H, K)`. A rule that reads
            the memory once it has decayed has its gates in here.
        log_decay: `log a`, finite and at most 0, `(B, T, H, K)`.
        state: `S` before the first step, `(B, H, K, V)`; `initial` by default.
        left: l, what is read is written along, `(B, T, H, K)`; `-k` by default.
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
    steps, state, initial = _prepare(q, k, v, right, log_decay, left, state, initial, mask)

    def step(memory: Tensor, x: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return generalized_delta_rule_step(state=memory, **x)[::-1]

    final, o = scan_marked(step, state, steps, initial, reset=reset)
    return ops.cast(o, output_dtype), final


def generalized_delta_rule_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    right: Tensor,
    log_decay: Tensor,
    state: Tensor,
    *,
    left: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One step: `(..., H, K)` each, but v `(..., H, V)`, and the state.

    Returns:
        `(o, state)`: the output `(..., H, V)` and the new state `(..., H, K, V)`.
    """
    found = (right[..., None, :] @ state)[..., 0, :]
    state = ops.exp(log_decay)[..., None] * state
    if left is None:
        v = v - found
    else:
        state = state + left[..., :, None] * found[..., None, :]
    state = state + k[..., :, None] * v[..., None, :]
    return (q[..., None, :] @ state)[..., 0, :], state


def chunkwise_generalized_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    right: Tensor,
    log_decay: Tensor,
    state: Tensor | None = None,
    *,
    left: Tensor | None = None,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    chunk_size: int = 64,
) -> tuple[Tensor, Tensor]:
    """The generalised delta rule, parallel inside chunks and recurrent between them.

    Arguments and results are those of `recurrent_generalized_delta_rule`, and `chunk_size`, the
    number of steps in a chunk, a power of two.
    """
    if chunk_size < 1 or chunk_size & (chunk_size - 1):
        raise ValueError(f"`chunk_size` must be a power of two, got {chunk_size}")
    output_dtype = v.dtype
    steps, state, initial = _prepare(q, k, v, right, log_decay, left, state, initial, mask)
    kept = found = None
    if reset is not None:
        forgets = expand_like(reset, steps["log_decay"])
        log_decay, right = steps["log_decay"], steps["right"]
        if initial is not None:
            # What a reset put back fades by itself, from the last reset on; the memory without it
            # obeys the same rule, where r finds in addition what has remained of that.
            since, _ = linear_scan(ops.cast(~forgets, log_decay.dtype), log_decay)
            seen = expand_like(ops.cumsum(ops.cast(reset, "int32"), axis=1) > 0, since)
            kept = zero_unless(seen, ops.exp(since))
            start = ops.zeros_like(kept[:, 0])
            before = ops.where(forgets, ops.ones_like(kept), previous(kept, start))
            found = ops.einsum("bthk,bhkv->bthv", right * before, initial)
        steps["right"] = zero_unless(~forgets, right)
        steps["log_decay"] = ops.where(forgets, ops.cast(LOG_ZERO, log_decay.dtype), log_decay)
    o, final = _in_chunks(state=state, found=found, size=chunk_size, **steps)
    if kept is not None:
        o = o + ops.einsum("bthk,bhkv->bthv", steps["q"] * kept, initial)
        final = final + kept[:, -1, ..., None] * initial
    return ops.cast(o, output_dtype), final


def generalized_delta_rule_flops(
    length: int, key_dim: int, value_dim: int, chunk_size: int, *, left: bool = False
) -> int:
    """FLOPs of the matrix products of the chunkwise form for one sequence and head.

    T is padded to whole chunks of C = `chunk_size`, or of the power of two from T on that is less.
    A step takes `6 C K` for sums of gates, `2 K (C - 4) (1 + P / 2)` for P matrices of scores
    from blocks of 4 on, `6 K V + 4 C V` for states and outputs, and the inverse. P is 2, or 4 with
    `left` apart, which then takes `4 C V + 2 K V` more.
    """
    size = _chunk(length, chunk_size)
    chunks, pairs = -(-length // size), 4 if left else 2
    step = 6 * size * key_dim + max(0, size - _SMALLEST) * key_dim * (2 + pairs)
    step += 6 * key_dim * value_dim + 4 * size * value_dim
    if left:
        step += 4 * size * value_dim + 2 * key_dim * value_dim
    return chunks * (size * step + unit_lower_inverse_flops(size))


def _chunk(length: int, size: int) -> int:
    """Steps in a chunk where there are `length` in all."""
    return min(size, 1 << max(0, length - 1).bit_length())


def _prepare(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    right: Tensor,
    log_decay: Tensor,
    left: Tensor | None,
    state: Tensor | None,
    initial: Tensor | None,
    mask: Tensor | None,
) -> tuple[dict[str, Tensor], Tensor, Tensor | None]:
    """Checks the arguments, casts them, and makes masked steps leave the state as it is."""
    check_heads(q, k, v)
    steps = {"q": q, "k": k, "v": v, "right": right, "log_decay": log_decay}
    if left is not None:
        steps["left"] = left
    for name in ("right", "log_decay", "left"):
        if name not in steps:
            continue
        check_rank(name, steps[name], "B T H K")
        if steps[name].shape[2:] != k.shape[2:]:
            raise ValueError(
                f"`{name}` must have the heads and key size of `k` {tuple(k.shape)}, got "
                f"{tuple(steps[name].shape)}"
            )
    dtype = accumulation_dtype(v)
    steps = {name: ops.cast(x, dtype) for name, x in steps.items()}
    for name in ("k", "log_decay", "left"):
        if name in steps:
            steps[name] = zero_where_masked(steps[name], mask)
    if initial is not None:
        initial = ops.cast(initial, dtype)
    if state is None:
        batch, _, heads, values = ops.shape(v)
        zeros = ops.zeros((batch, heads, k.shape[-1], values), dtype)
        state = zeros if initial is None else initial
    return steps, ops.cast(state, dtype), initial


def _in_chunks(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    right: Tensor,
    log_decay: Tensor,
    state: Tensor,
    size: int,
    left: Tensor | None = None,
    found: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The rule without marks, from `(B, T, H, ...)`; `found` is what r finds in addition."""
    length, dtype = ops.shape(v)[1], v.dtype
    if isinstance(length, int):
        size = _chunk(length, size)

    def chunks(x: Tensor) -> Tensor:
        # The chunks first: they are looped over.
        return rearrange(pad_time(x, size), "b (n c) h d -> n b h c d", c=size)

    q, k, v, right, log_decay = (chunks(x) for x in (q, k, v, right, log_decay))
    keys = [k] if left is None else [k, chunks(left)]
    # r reads the memory as the step before left it: it is moved there, and its scores back again.
    earlier = ops.concatenate([right[..., 1:, :], ops.zeros_like(right[..., :1, :])], axis=-2)
    scores = _scores((q, earlier), keys, log_decay)

    def later(scores: Tensor) -> Tensor:
        none = ops.zeros_like(scores[..., :1, :])
        return ops.concatenate([none, scores[..., :-1, :]], axis=-2)

    since = up_to(size, dtype) @ log_decay
    reading_q = ops.exp(since) * q
    reading_r = ops.exp(up_to(size, dtype, -1) @ log_decay) * right
    until = ops.exp(later_than(size, dtype) @ log_decay)
    keep = ops.exp(rearrange(since[..., -1:, :], "n b h 1 k -> n b h k 1"))
    if found is not None:
        found = chunks(found)
    if left is None:
        values = v if found is None else v - found
        system, read = later(scores[1][0]), scores[0][0]
        o, final = _solve(system, read, reading_r, reading_q, until * k, keep, values, state)
    else:
        values = later(scores[1][0]) @ v
        values = values if found is None else values + found
        added = _transposed(until * k) @ v
        system, read, writing = -later(scores[1][1]), scores[0][1], until * keys[1]
        o, final = _solve(system, read, -reading_r, reading_q, writing, keep, values, state, added)
        o = o + scores[0][0] @ v
    return from_chunks(rearrange(o, "n b h c d -> b n c h d"), length), final


def _scores(
    queries: tuple[Tensor, ...], keys: list[Tensor], log_decay: Tensor
) -> list[list[Tensor]]:
    """What every step's queries read of the keys of the steps up to it, the gates between them.

    Arguments `(N, B, H, C, K)`; results `(N, B, H, C, C)` by query and key.
    """
    shape, size = ops.shape(log_decay)[:3], log_decay.shape[-2]

    def blocks(x: Tensor) -> Tensor:
        return rearrange(x, "n b h c k -> (n b h) 1 c k")

    scores = _by_halves(
        ops.concatenate([blocks(x) for x in queries], axis=1),
        ops.concatenate([blocks(x) for x in keys], axis=1),
        blocks(log_decay),
    )
    return [
        [ops.reshape(scores[:, p, r], (*shape, size, size)) for r in range(len(keys))]
        for p in range(len(queries))
    ]


def _by_halves(q: Tensor, k: Tensor, log_decay: Tensor) -> Tensor:
    """`(M, P, C, K)`, `(M, R, C, K)` and gates `(M, 1, C, K)` to `(M, P, R, C, C)`.

    What the second half reads of the first has passed all gates from its step to the end of the
    first half, and those of the second half up to the reading step: a factor of the key and one of
    the query, both at most 1. The halves are then chunks themselves.
    """
    size, dtype = q.shape[-2], q.dtype
    if size <= _SMALLEST:
        return _of_few(q, k, log_decay)
    half = size // 2
    halves = (rearrange(x, "m p (two c) k -> (m two) p c k", two=2) for x in (q, k, log_decay))
    own = rearrange(_by_halves(*halves), "(m two) p r i j -> m two p r i j", two=2)
    later_keys = ops.exp(later_than(half, dtype) @ log_decay[:, :, :half]) * k[:, :, :half]
    later_queries = ops.exp(up_to(half, dtype) @ log_decay[:, :, half:]) * q[:, :, half:]
    read = rearrange(later_queries, "m p i k -> m (p i) k") @ rearrange(
        later_keys, "m r j k -> m k (r j)"
    )
    read = rearrange(read, "m (p i) (r j) -> m p r i j", i=half, j=half)
    above = ops.concatenate([own[:, 0], ops.zeros_like(read)], axis=-1)
    return ops.concatenate([above, ops.concatenate([read, own[:, 1]], axis=-1)], axis=-2)


def _of_few(q: Tensor, k: Tensor, log_decay: Tensor) -> Tensor:
    """As `_by_halves`, one distance in time after the other."""
    size = q.shape[-2]
    decay, gates, scores = ops.ones_like(log_decay), ops.exp(log_decay), 0
    for distance in range(size):
        near = size - distance
        if distance:
            # From the key's step to the reading one: one gate more than from the step after it.
            decay = gates[:, :, distance:] * decay[:, :, :near]
        decayed = (decay * k[:, :, :near])[:, None]
        reads = ops.sum(q[:, :, None, distance:] * decayed, axis=-1)
        reads = ops.pad(reads, ((0, 0), (0, 0), (0, 0), (distance, 0)))
        diagonal = ops.convert_to_tensor(np.eye(size, k=-distance), q.dtype)
        scores = scores + reads[..., None] * diagonal
    return scores


def _solve(
    system: Tensor,
    scores: Tensor,
    reading_r: Tensor,
    reading_q: Tensor,
    writing: Tensor,
    keep: Tensor,
    values: Tensor,
    state: Tensor,
    *added: Tensor,
) -> tuple[Tensor, Tensor]:
    """Solves the chunks one after the other, with a custom gradient.

    Chunk n computes `e = (I + system)^-1 (values - reading_r s)` from the state s, reads
    `reading_q s + scores e`, and leaves the state `keep s + writing^T e + added`. The loop has no
    gradient of its own, and this one keeps the chunks' states and e alone.

    Args:
        system: `(N, B, H, C, C)`, of which what is below the diagonal counts.
        scores: `(N, B, H, C, C)`.
        reading_r: `(N, B, H, C, K)`; `reading_q` and `writing` alike.
        reading_q: See `reading_r`.
        writing: See `reading_r`.
        keep: `(N, B, H, K, 1)`.
        values: `(N, B, H, C, V)`.
        state: `(B, H, K, V)`.
        *added: `(N, B, H, K, V)`, or nothing.

    Returns:
        `(o, final)`: `(N, B, H, C, V)` and `(B, H, K, V)`.
    """

    @ops.custom_gradient
    def solve(
        system: Tensor,
        scores: Tensor,
        reading_r: Tensor,
        reading_q: Tensor,
        writing: Tensor,
        keep: Tensor,
        values: Tensor,
        state: Tensor,
        *added: Tensor,
    ) -> tuple[Tensor, Callable]:
        size = system.shape[-1]
        inverse = unit_lower_inverse(ops.reshape(system, (-1, size, size)))
        inverse = ops.reshape(inverse, ops.shape(system))

        def step(
            state: Tensor,
            inverse: Tensor,
            reading_r: Tensor,
            writing: Tensor,
            keep: Tensor,
            values: Tensor,
            *added: Tensor,
        ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            errors = inverse @ (values - reading_r @ state)
            after = keep * state + _transposed(writing) @ errors
            return (after + added[0] if added else after), (state, errors)

        xs = (inverse, reading_r, writing, keep, values, *added)
        final, (before, errors) = chunk_loop(step, state, xs)
        o = reading_q @ before + scores @ errors

        def grad(*args: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, ...]:
            d_o, d_final = _unpack(args[0] if upstream is None else upstream, o, final)

            def step_back(
                d_after: Tensor,
                inverse: Tensor,
                reading_r: Tensor,
                writing: Tensor,
                keep: Tensor,
                d_errors: Tensor,
                d_before: Tensor,
            ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
                d_values = _transposed(inverse) @ (d_errors + writing @ d_after)
                d_state = keep * d_after + d_before - _transposed(reading_r) @ d_values
                return d_state, (d_after, d_values)

            d_errors, d_before = _transposed(scores) @ d_o, _transposed(reading_q) @ d_o
            back = (inverse, reading_r, writing, keep, d_errors, d_before)
            d_state, (d_after, d_values) = chunk_loop(step_back, d_final, back, reverse=True)
            steps = ops.arange(size)
            # With d inverse = d_values right^T and d system = -inverse^T d_inverse inverse^T.
            negative = -d_values
            gradients = (
                zero_unless(steps[:, None] > steps[None, :], negative @ _transposed(errors)),
                d_o @ _transposed(errors),
                negative @ _transposed(before),
                d_o @ _transposed(before),
                errors @ _transposed(d_after),
                ops.sum(d_after * before, axis=-1, keepdims=True),
                d_values,
                d_state,
            )
            return (*gradients, d_after) if added else gradients

        # Torch gives a gradient to one result only.
        return ops.concatenate([ops.reshape(x, (-1,)) for x in (o, final)]), grad

    solved = solve(system, scores, reading_r, reading_q, writing, keep, values, state, *added)
    return _unpack(solved, values, state)


def _unpack(flat: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Cuts a vector into one tensor shaped as `first` and one as `second`."""
    count = ops.size(first)
    return ops.reshape(flat[:count], ops.shape(first)), ops.reshape(flat[count:], ops.shape(second))


def _transposed(x: Tensor) -> Tensor:
    return ops.swapaxes(x, -1, -2)
