"""Causal softmax attention over the last `window` tokens, with a cache of keys and values.

The cache is a shift register of constant size, newest last, so that a step costs the same however
many came before: `keys (B, W, H, K)`, `values (B, W, H, V)` and `length (B,)`, the number of its
last entries that are filled.
"""

import math
from functools import partial

from einops import rearrange
from keras import ops

from common.ops.sequence import (
    accumulation_dtype,
    check_rank,
    expand_like,
    pad_time,
    to_chunks,
    zero_where_masked,
)

# Far below any score, yet finite: a row of nothing but excluded keys stays free of NaN.
_EXCLUDED = -1e30
# Entries of a cache below which leaving out the empty ones saves nothing worth a branch.
_SHORT = 256

Cache = dict


def empty_cache(batch, window: int, heads: int, keys: int, values: int, dtype="float32") -> Cache:
    """A cache in which no entry is filled."""
    return {
        "keys": ops.zeros((batch, window, heads, keys), dtype),
        "values": ops.zeros((batch, window, heads, values), dtype),
        "length": ops.zeros((batch,), "int32"),
    }


def causal_attention(
    q, k, v, state: Cache | None = None, *, window: int, mask=None, reset=None, dropout=None
):
    """Attends from every step to itself and to the `window - 1` valid steps before it.

    Scores are scaled by `1 / sqrt(K)`; 16 bit inputs are accumulated in float32.

    Args:
        q: Queries `(B, T, H, K)`.
        k: Keys `(B, T, G, K)`, where G divides H: query head h attends to head `h // (H / G)`.
        v: Values `(B, T, G, V)`.
        state: Cache of the steps before the first one; none by default.
        window: How many tokens a query sees, its own included; masked steps are not counted.
        mask: `(B, T)` bool; false leaves the cache as it was, and nobody attends to the step.
        reset: `(B, T)` bool; true empties the cache before the step.
        dropout: Maps the weights of the keys, `(., H, ., .)`, to those that are applied.

    Returns:
        `(o, state)`: outputs `(B, T, H, V)` in the dtype of `v`, and the cache after the last step.
    """
    _check_groups(q, k, v)
    if window < 1:
        raise ValueError(f"`window` must be positive, got {window}")
    batch, length = ops.shape(q)[:2]
    valid = ops.ones((batch, length), "bool") if mask is None else mask
    cache = state
    if cache is None:
        cache = empty_cache(batch, window, k.shape[2], k.shape[3], v.shape[3], k.dtype)
    else:
        check_cache(cache, window)
    keys = ops.concatenate([cache["keys"], ops.cast(k, cache["keys"].dtype)], axis=1)
    values = ops.concatenate([cache["values"], ops.cast(v, cache["values"].dtype)], axis=1)
    held = ops.arange(window)[None] >= window - cache["length"][:, None]
    held = ops.concatenate([held, valid], axis=1)  # (B, W + T)

    steps = ops.arange(window + length)
    document = None
    if reset is not None:
        document = ops.cumsum(ops.cast(reset, "int32"), axis=1)
        document = ops.concatenate([ops.zeros((batch, window), "int32"), document], axis=1)
    if mask is None and isinstance(length, int) and window < length:
        o = _banded_attention(q, keys, values, held, document, window, dropout)
    else:
        # A key is seen by the queries that come less than `window` valid keys later.
        position = ops.cumsum(ops.cast(held, "int32"), axis=1)
        age = position[:, window:, None] - position[:, None, :]
        seen = held[:, None] & (age < window) & (steps[None, window:, None] >= steps)
        if document is not None:
            seen = seen & (document[:, window:, None] == document[:, None])

        def attend(entries):  # to the newest of the cache, and to the steps themselves
            x = (keys[:, window - entries :], values[:, window - entries :])
            return _softmax_attention(q, *x, seen[:, :, window - entries :], dropout)

        # A branch must not draw random numbers.
        sizes = [0] if state is None else [window] if dropout else _sizes(window)
        o = _smallest(attend, sizes, ops.max(cache["length"]))
    if document is not None:
        held = held & (document == document[:, -1:])
    if mask is not None or reset is not None:
        # Filled entries last, in their order; distinct keys make any sort a stable one.
        order = ops.argsort(ops.where(held, steps + window + length, steps), axis=1)[:, -window:]
        keys = ops.take_along_axis(zero_where_masked(keys, held), expand_like(order, keys), axis=1)
        values = ops.take_along_axis(
            zero_where_masked(values, held), expand_like(order, values), axis=1
        )
    count = ops.sum(ops.cast(held, "int32"), axis=1)
    return ops.cast(o, v.dtype), {
        "keys": keys[:, -window:],
        "values": values[:, -window:],
        "length": ops.minimum(count, window),
    }


def _sizes(window: int) -> list[int]:
    """Rising numbers of entries to attend to, so that a long cache costs what it holds."""
    sizes = [window]
    while sizes[0] > _SHORT:
        sizes.insert(0, -(-sizes[0] // 2))
    return sizes


def _smallest(function, sizes: list[int], least):
    """`function` of the first of the rising `sizes` that is not below `least`."""
    if len(sizes) == 1:
        return function(sizes[0])
    index = sum(ops.cast(least > size, "int32") for size in sizes[:-1])
    return ops.switch(index, [partial(function, size) for size in sizes])


def _banded_attention(q, keys, values, held, document, window: int, dropout):
    """Attention in time and memory linear in T, where all steps are valid.

    Queries are cut into blocks of `window`; a block sees no keys but the `2 window` up to its end.

    Args:
        q: `(B, T, H, K)`.
        keys: `(B, W + T, H, K)`, those of the cache first.
        values: `(B, W + T, H, V)`.
        held: `(B, W + T)` bool, false where the cache is not filled.
        document: `(B, W + T)` numbers of documents, or None.
        window: W.
        dropout: As in `causal_attention`.
    """
    length = q.shape[1]

    def cut(x):  # (B, N W, ...) to (B N, W, ...)
        x = to_chunks(pad_time(x, window), window)
        return ops.reshape(x, (-1, window, *ops.shape(x)[3:]))

    def cut_pairs(x):  # (B, W + N W, ...) to (B N, 2 W, ...): each block and the one before it
        x = to_chunks(pad_time(x, window), window)
        x = ops.concatenate([x[:, :-1], x[:, 1:]], axis=2)
        return ops.reshape(x, (-1, 2 * window, *ops.shape(x)[3:]))

    age = ops.arange(window)[:, None] + window - ops.arange(2 * window)[None]
    seen = cut_pairs(held)[:, None] & (age >= 0) & (age < window)
    if document is not None:
        seen = seen & (cut(document[:, window:])[:, :, None] == cut_pairs(document)[:, None])
    o = _softmax_attention(cut(q), cut_pairs(keys), cut_pairs(values), seen, dropout)
    o = ops.reshape(o, (ops.shape(q)[0], -1, *ops.shape(o)[2:]))
    return o[:, :length]


def causal_attention_step(q, k, v, state: Cache):
    """One step of `causal_attention`: `(B, H, K)`, `(B, G, K)`, `(B, G, V)` and a cache.

    Returns:
        `(o, state)`: the output `(B, H, V)` and the cache with this step's key and value in it.
    """
    window = state["keys"].shape[1]
    new = {
        name: ops.concatenate([state[name][:, 1:], ops.cast(x, state[name].dtype)[:, None]], axis=1)
        for name, x in (("keys", k), ("values", v))
    }
    new["length"] = ops.minimum(state["length"] + 1, window)
    seen = ops.arange(window)[None] >= window - new["length"][:, None]
    o = _softmax_attention(q[:, None], new["keys"], new["values"], seen[:, None])
    return ops.cast(o[:, 0], v.dtype), new


def check_cache(state: Cache, window: int) -> None:
    """Raises a `ValueError` unless `state` is a cache of `window` entries."""
    if not isinstance(state, dict) or set(state) != {"keys", "values", "length"}:
        raise ValueError(f"`state` must hold keys, values and length, got {state!r}")
    if state["keys"].shape[1] != window or state["values"].shape[1] != window:
        raise ValueError(
            f"`state` must hold `window` = {window} entries, got keys of shape "
            f"{tuple(state['keys'].shape)} and values of shape {tuple(state['values'].shape)}"
        )


def _check_groups(q, k, v) -> None:
    check_rank("q", q, "B T H K")
    check_rank("k", k, "B T G K")
    check_rank("v", v, "B T G V")
    if q.shape[3] != k.shape[3]:
        raise ValueError(f"`q` must have the key size {k.shape[3]} of `k`, got {tuple(q.shape)}")
    if q.shape[2] % k.shape[2]:
        raise ValueError(f"`k` must have heads that divide {q.shape[2]}, got {tuple(k.shape)}")
    if k.shape[2] != v.shape[2]:
        raise ValueError(f"`v` must have the {k.shape[2]} heads of `k`, got {tuple(v.shape)}")


def _softmax_attention(q, k, v, seen, dropout=None):
    """Attention of `(B, S, H, K)` queries to `(B, L, G, .)` keys where `seen (B, S, L)` is true."""
    dtype, groups = accumulation_dtype(v), k.shape[2]
    heads, steps = q.shape[2], ops.shape(q)[1]
    q = ops.cast(q, dtype) / math.sqrt(q.shape[-1])
    q = rearrange(q, "b s (g r) k -> b g (r s) k", g=groups)
    k, v = (ops.swapaxes(ops.cast(x, dtype), 1, 2) for x in (k, v))
    scores = q @ ops.swapaxes(k, -1, -2)
    batch, keys = ops.shape(scores)[0], ops.shape(scores)[3]
    scores = ops.reshape(scores, (batch, heads, steps, keys))
    scores = ops.where(seen[:, None], scores, ops.cast(_EXCLUDED, dtype))
    weights = ops.softmax(scores, axis=-1)
    if dropout is not None:
        weights = dropout(weights)
    weights = ops.reshape(weights, (batch, groups, -1, keys))
    return rearrange(weights @ v, "b g (r s) v -> b s (g r) v", r=heads // groups)
