"""Softmax attention whose keys are turned by every later step, or whose scores fade, or both.

    `s_ij = k_j^T (H_{j+1} ... H_i) q_i / sqrt(K) + log f_{j+1} + ... + log f_i`
    `H_t = I - beta_t w_t w_t^T`,   `o_i = sum_j softmax_j(s_ij) v_j`

Products of the Householder-like H are PaTH (Yang 2025, eq. 1 and section 2.2), the gates f are the
forgetting transformer's (Lin 2025), both together PaTH-FoX; without either it is plain attention.

A cache holds the keys as the last step left them: step t multiplies all of them by H_t, adds log
f_t to what each has faded, and appends its own (section 3.4). C steps collapse to products of
matrices (the UT transform, sections 3.1 and 3.2): with K' the keys of the cache and of the C steps,
and `A = tril(diag(beta) W W^T, -1)`,

    `U = (I + A)^-1 tril(diag(beta) W K'^T, -1)`,
    `scores = Q K'^T - tril(Q W^T) U`,    the keys after the steps: `K' - U^T W`,

where the first `tril` keeps, of the C steps' own keys, those before each step, and all of the
cache's. The parallel form does so once for all T steps, in O(T^3); the chunkwise form chunk after
chunk, in O(T (C + window)).

The cache is a queue: `keys (B, H, L, K)`, `values (B, H, L, V)` and, with gates, `faded (B, H, L)`,
the newest last, of which the last `filled (B,)` are there. L is the window: how many steps a query
sees, its own included.
"""

import math
from collections.abc import Callable

import keras
from einops import rearrange
from keras import ops

from common.ops.operands import accumulation_dtype, check_heads, check_pairs, check_rank
from common.ops.scan import scan
from common.ops.time_axis import (
    compact,
    from_chunks,
    marked_first,
    pad_time,
    segment_ids,
    spread,
    steps_taken,
    take_steps,
    to_chunks,
    zero_unless,
    zero_where_masked,
)
from common.ops.triangular import unit_lower_inverse, unit_lower_inverse_flops
from common.typing import DType, Size, Tensor

# Far below any score, yet finite: a row of nothing but excluded keys stays free of NaN.
_EXCLUDED = -1e30
# The document of an entry that is empty, and of a step that is padding.
_NONE = -1
# Caches that a gradient keeps before chunks are computed again, in groups.
_MOST_KEPT = 64

Cache = dict[str, Tensor]


def empty_queue(
    batch: Size,
    window: int,
    heads: int,
    keys: int,
    values: int,
    *,
    gates: bool = False,
    dtype: DType = "float32",
) -> Cache:
    """A cache in which nothing stands."""
    cache = {
        "keys": ops.zeros((batch, heads, window, keys), dtype),
        "values": ops.zeros((batch, heads, window, values), dtype),
        "filled": ops.zeros((batch,), "int32"),
    }
    return cache | {"faded": ops.zeros((batch, heads, window), dtype)} if gates else cache


def parallel_path_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: Cache | None = None,
    *,
    window: int,
    w: Tensor | None = None,
    beta: Tensor | None = None,
    log_forget: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Cache]:
    """Attends from all steps at once.

    16 bit inputs are accumulated in float32.

    Args:
        q: Queries `(B, T, H, K)`.
        k: Keys `(B, T, H, K)`.
        v: Values `(B, T, H, V)`.
        state: Cache of the steps before the first one; an empty one by default.
        window: How many steps a query sees, its own included; masked steps are not counted.
        w: Directions `(B, T, H, K)` of the transitions; None for no transitions.
        beta: Strengths `(B, T, H)` of the transitions, with `w`.
        log_forget: `log f`, at most 0, `(B, T, H)`; None never forgets.
        mask: `(B, T)` bool; false leaves the cache as it was, and no query sees the step.
        reset: `(B, T)` bool; true empties the cache before the step.

    Returns:
        `(o, state)`: outputs `(B, T, H, V)` in the dtype of `v`, and the cache after the last step
        in the accumulation dtype.

    Raises:
        ValueError: if an argument's shape does not fit the others', or there are more than
            `common.ops.operands.MOST_PAIRS` pairs of steps.
    """
    check_pairs(v)

    def core(steps: dict[str, Tensor], cache: Cache, valid: Tensor | None) -> tuple[Tensor, Cache]:
        return _attend(steps, cache, window, valid, inverse=None)

    return _apply(core, q, k, v, state, window, w, beta, log_forget, mask, reset)


def chunkwise_path_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: Cache | None = None,
    *,
    window: int,
    w: Tensor | None = None,
    beta: Tensor | None = None,
    log_forget: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    chunk_size: int = 64,
) -> tuple[Tensor, Cache]:
    """Attends chunk by chunk, to the cache and to the chunk.

    Arguments and results are those of `parallel_path_attention`, and `chunk_size`, the number of
    steps in a chunk. There may be as many pairs of steps as one likes. A gradient keeps the cache
    before every chunk, and of more than 64 of them the cache before every group, whose chunks it
    goes over again: memory for about twice the square root of the number of chunks, where that is
    known when the function is traced.
    """
    if chunk_size < 1:
        raise ValueError(f"`chunk_size` must be positive, got {chunk_size}")

    def core(steps: dict[str, Tensor], cache: Cache, valid: Tensor | None) -> tuple[Tensor, Cache]:
        length = ops.shape(steps["v"])[1]
        size = min(chunk_size, length) if isinstance(length, int) else chunk_size
        group = _group(-(-length // size)) if isinstance(length, int) else 1
        if valid is None and not (isinstance(length, int) and length % (group * size) == 0):
            valid = ops.broadcast_to(length, ops.shape(steps["v"])[:1])
        chunks = {name: to_chunks(pad_time(x, group * size), size) for name, x in steps.items()}
        if valid is not None:
            starts = ops.arange(chunks["v"].shape[1] or ops.shape(chunks["v"])[1]) * size
            chunks["valid"] = ops.clip(ops.cast(valid, "int32")[:, None] - starts, 0, size)

        def body(cache: Cache, chunk: dict[str, Tensor]) -> tuple[Cache, Tensor]:
            chunk = dict(chunk)
            valid = chunk.pop("valid", None)
            return _attend(chunk, cache, window, valid, inverse=unit_lower_inverse)[::-1]

        if group == 1:
            final, o = scan(body, cache, chunks)
            return from_chunks(o, length), final

        def several(cache: Cache, chunks: dict[str, Tensor]) -> tuple[Cache, Tensor]:
            return scan(body, cache, chunks)

        # TensorFlow's `scan` itself computes every step again.
        if keras.backend.backend() != "tensorflow":
            several = keras.remat(several)
        groups = {name: to_chunks(x, group) for name, x in chunks.items()}
        final, o = scan(several, cache, groups)
        return from_chunks(rearrange(o, "b m g c ... -> b (m g) c ..."), length), final

    return _apply(core, q, k, v, state, window, w, beta, log_forget, mask, reset)


def path_attention_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: Cache,
    *,
    w: Tensor | None = None,
    beta: Tensor | None = None,
    log_forget: Tensor | None = None,
) -> tuple[Tensor, Cache]:
    """One step: `(B, H, K)` twice, `(B, H, V)`, the cache; `(B, H, K)`, `(B, H)` and `(B, H)`.

    Returns:
        `(o, state)`: the output `(B, H, V)`, accumulated in float32 at least, and the cache, in its
        own dtypes, with this step.
    """
    window, dtype = state["keys"].shape[2], accumulation_dtype(v)
    q, k, v, keys, values = (ops.cast(x, dtype) for x in (q, k, v, state["keys"], state["values"]))
    if w is not None:
        w, beta = ops.cast(w, dtype), ops.cast(beta, dtype)
        met = (keys @ w[..., None])[..., 0]
        keys = keys - (beta[..., None] * met)[..., None] * w[:, :, None]
    filled = ops.minimum(state["filled"] + 1, window)
    there = (ops.arange(window)[None] >= window - filled[:, None])[:, None]
    keys, values = (
        zero_unless(there[..., None], ops.concatenate([x[:, :, 1:], new[:, :, None]], axis=2))
        for x, new in ((keys, k), (values, v))
    )
    scores = (keys @ q[..., None])[..., 0] / math.sqrt(q.shape[-1])
    new = {"keys": keys, "values": values}
    if log_forget is not None:
        faded = ops.cast(state["faded"], dtype)[:, :, 1:] + ops.cast(log_forget, dtype)[..., None]
        new["faded"] = zero_unless(there, ops.pad(faded, ((0, 0), (0, 0), (0, 1))))
        scores = scores + new["faded"]
    scores = ops.where(there, scores, ops.cast(_EXCLUDED, dtype))
    o = (ops.softmax(scores, axis=-1)[..., None, :] @ values)[..., 0, :]
    new = {name: ops.cast(x, state[name].dtype) for name, x in new.items()}
    return o, new | {"filled": filled}


def path_attention_flops(
    form: str,
    length: int,
    key_dim: int,
    value_dim: int,
    window: int,
    *,
    turns: bool = True,
    chunk_size: int = 64,
) -> int:
    """FLOPs of the matrix products of one sequence and head, from an empty cache.

    Recurrent: `2 T L (K + V)` for a window of L steps, and `2 T L K` for the transitions. Else, of
    chunks of C steps, or of T at once, with M = L + C entries in sight: `2 C M (K + V)` a chunk
    and, with transitions, `4 C M K + 4 C^2 (K + M)`, and the inverses or, in parallel, as much for
    the substitution, whose C^2 M count half.

    Args:
        form: `"recurrent"`, `"parallel"` or `"chunkwise"`.
        length: T.
        key_dim: K.
        value_dim: V.
        window: L.
        turns: Whether there are transitions.
        chunk_size: Of the chunkwise form.
    """
    if form == "recurrent":
        return 2 * length * window * (key_dim + value_dim + (key_dim if turns else 0))
    size = length if form == "parallel" else min(chunk_size, length)
    entries = window + size
    flops = 2 * size * entries * (key_dim + value_dim)
    if turns:
        flops += 4 * size * entries * key_dim + 4 * size**2 * key_dim + 2 * size**2 * entries
        if form == "parallel":
            flops += size**2 * entries
        else:
            flops += 2 * size**2 * entries + unit_lower_inverse_flops(size)
    return -(-length // size) * flops


def _apply(
    core: Callable,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: Cache | None,
    window: int,
    w: Tensor | None,
    beta: Tensor | None,
    log_forget: Tensor | None,
    mask: Tensor | None,
    reset: Tensor | None,
) -> tuple[Tensor, Cache]:
    """Reduces the general case to `core(steps, cache, valid)`: valid steps first, then padding."""
    _check(q, k, v, w, beta, log_forget)
    if window < 1:
        raise ValueError(f"`window` must be positive, got {window}")
    output_dtype, dtype = v.dtype, accumulation_dtype(v)
    given = {"q": q, "k": k, "v": v, "w": w, "beta": beta, "log_forget": log_forget}
    steps = {name: ops.cast(x, dtype) for name, x in given.items() if x is not None}
    batch, _, heads, keys = ops.shape(k)
    if state is None:
        state = empty_queue(
            batch, window, heads, keys, v.shape[3], gates=log_forget is not None, dtype=dtype
        )
    elif state["keys"].shape[2] != window:
        raise ValueError(
            f"`state` must hold `window` = {window} entries, got keys of shape "
            f"{tuple(state['keys'].shape)}"
        )
    cache = {name: ops.cast(x, dtype) for name, x in state.items() if name != "filled"}
    # Entries and steps of one document see each other.
    there = ops.arange(window)[None] >= window - state["filled"][:, None]
    cache["document"] = ops.where(there, 0, _NONE)
    steps["document"] = (
        ops.zeros(ops.shape(v)[:2], "int32") if reset is None else segment_ids(reset)
    )
    last, valid = steps["document"][:, -1:], None
    if mask is not None:
        taken = steps_taken(mask)
        valid = taken[:, -1]
        documents = take_steps(steps.pop("document"), marked_first(mask))
        steps = {name: compact(x, mask) for name, x in steps.items()}
        steps["document"] = documents
    o, cache = core(steps, cache, valid)
    if mask is not None:
        o = spread(o, taken)
    # TensorFlow's `==` allows shapes that do not fit, and so forgets their rank.
    kept = ops.equal(cache.pop("document"), last)
    final = {
        name: zero_unless(ops.reshape(kept, (-1, 1, window, *[1] * (len(x.shape) - 3))), x)
        for name, x in cache.items()
    }
    final["filled"] = ops.sum(ops.cast(kept, "int32"), axis=1)
    return ops.cast(o, output_dtype), final


def _attend(
    steps: dict[str, Tensor],
    cache: Cache,
    window: int,
    valid: Tensor | None,
    inverse: Callable | None,
) -> tuple[Tensor, Cache]:
    """Some steps, `(B, C, H, ...)`, of which the first `valid (B,)` count, after a cache."""
    size = ops.shape(steps["v"])[1]
    index = ops.arange(size)
    document = steps["document"]
    if valid is not None:
        counts = index[None] < valid[:, None]
        steps = {name: zero_where_masked(x, counts) for name, x in steps.items()}
        document = ops.where(counts, document, _NONE)
    q, k, v = (ops.swapaxes(steps[name], 1, 2) for name in ("q", "k", "v"))
    keys = ops.concatenate([cache["keys"], k], axis=2)
    values = ops.concatenate([cache["values"], v], axis=2)
    documents = ops.concatenate([cache["document"], document], axis=1)
    # How long before each step an entry came.
    age = index[:, None] + window - ops.arange(size + window)[None]
    scores = q @ _transposed(keys)
    if "w" in steps:
        w = ops.swapaxes(steps["w"], 1, 2)
        strong = w * ops.swapaxes(steps["beta"], 1, 2)[..., None]
        turned = _solve(
            strong @ _transposed(w), zero_unless(age > 0, strong @ _transposed(keys)), inverse
        )
        met = zero_unless(index[:, None] >= index[None], q @ _transposed(w))
        scores = scores - met @ turned
        keys = keys - _transposed(turned) @ w
    scores = scores / math.sqrt(q.shape[-1])
    new = {"keys": keys, "values": values}
    if "log_forget" in steps:
        log_forget = ops.swapaxes(steps["log_forget"], 1, 2)[..., None]
        # Row i, column j: the sum from j + 1 to i, which is no difference of longer sums.
        between = ops.cumsum(zero_unless(index[:, None] > index[None], log_forget), axis=2)
        before = ops.cumsum(log_forget, axis=2) + cache["faded"][:, :, None]
        faded = ops.concatenate([before, between], axis=-1)
        scores, new["faded"] = scores + faded, faded[:, :, -1]
    seen = (age >= 0) & (age < window) & ops.equal(document[:, :, None], documents[:, None])
    scores = ops.where(seen[:, None], scores, ops.cast(_EXCLUDED, scores.dtype))
    o = ops.softmax(scores, axis=-1) @ values
    if valid is None:
        new = {name: x[:, :, -window:] for name, x in new.items()}
        new["document"] = documents[:, -window:]
    else:
        last = valid[:, None] + ops.arange(window)[None]
        new = {
            name: ops.swapaxes(take_steps(ops.swapaxes(x, 1, 2), last), 1, 2)
            for name, x in new.items()
        }
        new["document"] = take_steps(documents, last)
    return ops.swapaxes(o, 1, 2), new


def _group(chunks: int) -> int:
    """How many of so many chunks a gradient goes over again from one cache: 1, or a power of 2."""
    return 1 if chunks <= _MOST_KEPT else 2 ** math.ceil(math.log2(chunks) / 2)


def _solve(a: Tensor, b: Tensor, inverse: Callable | None) -> Tensor:
    """`(I + tril(a, -1))^-1 b`, with a custom gradient: one more product, no second system.

    Args:
        a: `(B, H, C, C)`.
        b: `(B, H, C, M)`.
        inverse: Of a batch of such matrices of known size; without, systems are solved.
    """

    def below(a: Tensor) -> Tensor:
        index = ops.arange(ops.shape(a)[-1])
        return zero_unless(index[:, None] > index[None], a)

    @ops.custom_gradient
    def solve(a: Tensor, b: Tensor) -> tuple[Tensor, Callable]:
        if inverse is None:
            # Keras's wants the unit diagonal spelt out, and its upper systems turned over.
            unit = below(a) + ops.eye(ops.shape(a)[-1], dtype=a.dtype)
            x = ops.solve_triangular(unit, b, lower=True)
        else:
            inverted = inverse(ops.reshape(a, (-1, *a.shape[-2:])))
            inverted = ops.reshape(inverted, ops.shape(a))
            x = inverted @ b

        def grad(*args: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, Tensor]:
            d_x = args[0] if upstream is None else upstream
            if inverse is None:
                d_b = ops.solve_triangular(_transposed(unit), d_x, lower=False)
            else:
                d_b = _transposed(inverted) @ d_x
            return below(-d_b @ _transposed(x)), d_b

        return x, grad

    return solve(a, b)


def _check(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    w: Tensor | None,
    beta: Tensor | None,
    log_forget: Tensor | None,
) -> None:
    check_heads(q, k, v)
    if (w is None) != (beta is None):
        raise ValueError(
            f"`w` and `beta` must be given together, got {'beta' if w is None else 'w'} alone"
        )
    if w is not None and tuple(w.shape[2:]) != tuple(k.shape[2:]):
        raise ValueError(
            f"`w` must have the heads and key size of `k`, {tuple(k.shape)}, got {tuple(w.shape)}"
        )
    for name, x in (("beta", beta), ("log_forget", log_forget)):
        if x is None:
            continue
        check_rank(name, x, "B T H")
        if x.shape[2] != k.shape[2]:
            raise ValueError(
                f"`{name}` must have the {k.shape[2]} heads of `k`, got {tuple(x.shape)}"
            )


def _transposed(x: Tensor) -> Tensor:
    return ops.swapaxes(x, -1, -2)
