"""Causal softmax attention over the last `window` tokens, with a cache of keys and values.

The cache is a ring of constant size, `keys (B, G, W, K)` and `values (B, G, W, V)`, beside
`position (B,)`, the number of steps since it was empty. Step n is written into entry `n mod W`, and
nothing else is touched: a compiled loop of steps updates the cache in place, and a step costs the
same however many came before. The entries of a head lie side by side, as the products read them.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce
from itertools import accumulate
from operator import add

from einops import rearrange
from keras import ops

from common.ops.branches import switch
from common.ops.operands import accumulation_dtype, check_rank
from common.ops.rotary import count_steps
from common.ops.time_axis import (
    marked_first,
    pad_time,
    segment_ids,
    take_steps,
    to_chunks,
    zero_unless,
    zero_where_masked,
)
from common.typing import DType, Size, Tensor

# Far below any score, yet finite: a row of nothing but excluded keys stays free of NaN.
_EXCLUDED = -1e30
# Entries of a cache below which leaving out the empty ones saves nothing worth a branch.
_SHORT = 256

Cache = dict[str, Tensor]
Dropout = Callable[[Tensor], Tensor]


def empty_cache(
    batch: Size, window: int, heads: int, keys: int, values: int, dtype: DType = "float32"
) -> Cache:
    """A cache in which no entry is filled."""
    return {
        "keys": ops.zeros((batch, heads, window, keys), dtype),
        "values": ops.zeros((batch, heads, window, values), dtype),
        "position": ops.zeros((batch,), "int32"),
    }


def causal_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: Cache | None = None,
    *,
    window: int,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    dropout: Dropout | None = None,
) -> tuple[Tensor, Cache]:
    """Attends from every step to itself and to the `window - 1` valid steps before it.

    Scores are scaled by `1 / sqrt(K)`; 16 bit inputs are accumulated in float32.

    Args:
        q: Queries `(B, T, H, K)`.
        k: Keys `(B, T, G, K)`, where G divides H: query head h attends to head `h // (H / G)`.
        v: Values `(B, T, G, V)`.
        state: Cache of the steps before the first one; none by default.
        window: How many tokens a query sees, its own included; masked steps are not counted.
        mask: `(B, T)` bool; false leaves the cache as it was, and no query attends to the step.
        reset: `(B, T)` bool; true empties the cache before the step.
        dropout: Maps the weights of the keys, `(., H, ., .)`, to those that are applied.

    Returns:
        `(o, state)`: outputs `(B, T, H, V)` in the dtype of `v`, and the cache after the last step.
    """
    _check_groups(q, k, v)
    if window < 1:
        raise ValueError(f"`window` must be positive, got {window}")
    batch, length = ops.shape(q)[:2]
    k, v = zero_where_masked(k, mask), zero_where_masked(v, mask)
    cache = state
    if cache is None:
        cache = empty_cache(batch, window, k.shape[2], k.shape[3], v.shape[3], k.dtype)
    else:
        check_cache(cache, window)
    steps = _Steps(cache["position"], length, mask, reset)
    if mask is None and isinstance(length, int) and window < length:
        o = _banded_attention(q, k, v, cache, steps, window, dropout)
    else:
        o = _attention_to_all(q, k, v, cache, steps, window, dropout, fresh=state is None)
    new: Cache = {"position": steps.final}
    if mask is None and reset is None and isinstance(length, int) and length < window:
        for name, x in (("keys", k), ("values", v)):
            new[name] = _write(cache[name], x, steps.positions % window)
    else:
        chosen, source = steps.sources(window)
        for name, x in (("keys", k), ("values", v)):
            taken = ops.swapaxes(take_steps(ops.cast(x, cache[name].dtype), source), 1, 2)
            kept = zero_unless(steps.kept(window)[:, None, :, None], cache[name])
            new[name] = ops.where(chosen[:, None, :, None], taken, kept)
    return ops.cast(o, v.dtype), new


class _Steps:
    """The places of new steps, and of those in a cache of the `start (B,)` steps before them.

    Attributes:
        positions: `(B, T)`, how many valid steps of its document came before each.
        documents: `(B, T)`, numbered from 0, that of the cache; None without resets.
        valid: `(B, T)` bool; None where all are.
        final: `(B,)`, the steps since the last reset.
    """

    def __init__(self, start: Tensor, length: Size, mask: Tensor | None, reset: Tensor | None):
        self.start, self.length, self.valid = start, length, mask
        self.positions, self.final = count_steps(start, length, mask, reset)
        self.documents = None if reset is None else segment_ids(reset)

    def held(self, window: int) -> Tensor:
        """The position of what each entry of the cache holds, `(B, W)`; below 0 where empty."""
        return _newest(self.start, window)

    def kept(self, window: int) -> Tensor:
        """Whether an entry of the cache is filled and of the last document, `(B, W)`."""
        filled = self.held(window) >= 0
        return filled if self.documents is None else filled & (self.documents[:, -1:] == 0)

    def sources(self, window: int) -> tuple[Tensor, Tensor]:
        """Which entries of the new cache are new steps', and of which step: `(B, W)` each."""
        position = _newest(self.final, window)
        first = self.start[:, None]
        if self.documents is not None:
            first = ops.where(self.documents[:, -1:] == 0, first, ops.zeros_like(first))
        # Counted from the end, the valid steps of the last document are the last valid ones.
        behind = self.final[:, None] - 1 - position
        chosen = (position >= 0) & (position >= first)
        source = ops.where(chosen, self.length - 1 - behind, ops.zeros_like(behind))
        if self.valid is not None:
            order = marked_first(ops.logical_not(self.valid))  # the valid steps last
            source = ops.take_along_axis(order, source, axis=1)
        return chosen, source


def _newest(count: Tensor, window: int) -> Tensor:
    """The position of the step that each entry holds after `count (B,)` steps, `(B, W)`."""
    last = count[:, None] - 1
    return last - (last - ops.arange(window)[None]) % window


def _write(cache: Tensor, x: Tensor, entries: Tensor) -> Tensor:
    """The cache `(B, G, W, N)` with `x (B, S, G, N)` in its `entries (B, S)`, all different."""
    batch, count, groups, width = ops.shape(x)
    rows = ops.arange(batch)[:, None, None]
    heads = ops.arange(groups)[None, None]
    at = [ops.broadcast_to(i, (batch, count, groups)) for i in (rows, heads, entries[..., None])]
    indices = ops.reshape(ops.stack(at, axis=-1), (-1, 3))
    return ops.scatter_update(cache, indices, ops.reshape(ops.cast(x, cache.dtype), (-1, width)))


def _attention_to_all(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cache: Cache,
    steps: _Steps,
    window: int,
    dropout: Dropout | None,
    fresh: bool,
) -> Tensor:
    """Attention of all steps to the cache and to all steps up to them.

    Args:
        q: `(B, T, H, K)`.
        k: `(B, T, G, K)`.
        v: `(B, T, G, V)`.
        cache: Of the steps before the first one.
        steps: Where they are.
        window: W.
        dropout: As in `causal_attention`.
        fresh: Whether the cache is known to be empty.
    """
    index = ops.arange(steps.length)
    age = steps.positions[:, :, None] - steps.positions[:, None]
    own = (index[:, None] >= index) & (age < window)
    if steps.valid is not None:
        own = own & steps.valid[:, None]
    if steps.documents is not None:
        own = own & (steps.documents[:, :, None] == steps.documents[:, None])
    k, v = ops.swapaxes(k, 1, 2), ops.swapaxes(v, 1, 2)
    if fresh:
        return _softmax_attention(q, [(k, v, own)], dropout)
    held = steps.held(window)[:, None]
    seen = (held >= 0) & (steps.positions[:, :, None] - held < window)
    if steps.documents is not None:
        seen = seen & (steps.documents == 0)[:, :, None]

    def attend(
        entries: int, q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor
    ) -> Tensor:
        # Entries are filled from the first on.
        cached = keys[:, :, :entries], values[:, :, :entries], seen[:, :, :entries]
        return _softmax_attention(q, [cached, (k, v, own)], dropout)

    # A branch must not draw random numbers.
    sizes = [window] if dropout else _sizes(window)
    most = ops.max(steps.start, initial=0)
    branches = [partial(attend, size) for size in sizes]
    args = (q, k, v, cache["keys"], cache["values"])
    if len(sizes) == 1:
        return branches[0](*args)
    return switch(sum(ops.cast(most > size, "int32") for size in sizes[:-1]), branches, *args)


def _sizes(window: int) -> list[int]:
    """Rising numbers of entries to attend to, so that a long cache costs what it holds."""
    sizes = [window]
    while sizes[0] > _SHORT:
        sizes.insert(0, -(-sizes[0] // 2))
    return sizes


def _banded_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cache: Cache,
    steps: _Steps,
    window: int,
    dropout: Dropout | None,
) -> Tensor:
    """Attention in time and memory linear in T, where all steps are valid.

    Queries are cut into blocks of `window`; a block sees no keys but the `2 window` up to its end.
    Arguments are those of `_attention_to_all`.
    """
    length = q.shape[1]
    # The cache in order of time, the newest last.
    order = (steps.start[:, None] + ops.arange(window)[None]) % window
    keys, values = (
        ops.concatenate([take_steps(ops.swapaxes(held, 1, 2), order), ops.cast(x, held.dtype)], 1)
        for held, x in ((cache["keys"], k), (cache["values"], v))
    )
    held = ops.arange(window)[None] >= window - steps.start[:, None]
    held = ops.pad(held, ((0, 0), (0, length)), constant_values=True)

    def cut(x: Tensor) -> Tensor:
        return rearrange(pad_time(x, window), "b (n w) ... -> (b n) w ...", w=window)

    def cut_pairs(x: Tensor) -> Tensor:
        # (B, W + N W, ...) to (B N, 2 W, ...): each block and the one before it
        x = to_chunks(pad_time(x, window), window)
        x = ops.concatenate([x[:, :-1], x[:, 1:]], axis=2)
        return rearrange(x, "b n w ... -> (b n) w ...")

    age = ops.arange(window)[:, None] + window - ops.arange(2 * window)[None]
    seen = cut_pairs(held)[:, None] & (age >= 0) & (age < window)
    if steps.documents is not None:
        document = ops.pad(steps.documents, ((0, 0), (window, 0)))  # the cache is of document 0
        seen = seen & (cut(steps.documents)[:, :, None] == cut_pairs(document)[:, None])
    keys, values = (ops.swapaxes(cut_pairs(x), 1, 2) for x in (keys, values))
    o = _softmax_attention(cut(q), [(keys, values, seen)], dropout)
    blocks = -(-length // window)
    return rearrange(o, "(b n) w h v -> b (n w) h v", n=blocks)[:, :length]


def causal_attention_step(q: Tensor, k: Tensor, v: Tensor, state: Cache) -> tuple[Tensor, Cache]:
    """One step of `causal_attention`: `(B, H, K)`, `(B, G, K)`, `(B, G, V)` and a cache.

    Returns:
        `(o, state)`: the output `(B, H, V)` and the cache with this step's key and value in it.
    """
    window, position = state["keys"].shape[2], state["position"]
    entry = position[:, None] % window
    keys, values = (
        _write(state[name], x[:, None], entry) for name, x in (("keys", k), ("values", v))
    )
    seen = ops.arange(window)[None] <= position[:, None]  # all of them once the ring is full
    o = _softmax_attention(q[:, None], [(keys, values, seen[:, None])])
    return ops.cast(o[:, 0], v.dtype), {"keys": keys, "values": values, "position": position + 1}


def check_cache(state: Cache, window: int) -> None:
    """Raises a `ValueError` unless `state` is a cache of `window` entries."""
    if not isinstance(state, dict) or set(state) != {"keys", "values", "position"}:
        raise ValueError(f"`state` must hold keys, values and position, got {state!r}")
    if state["keys"].shape[2] != window or state["values"].shape[2] != window:
        raise ValueError(
            f"`state` must hold `window` = {window} entries, got keys of shape "
            f"{tuple(state['keys'].shape)} and values of shape {tuple(state['values'].shape)}"
        )


def _check_groups(q: Tensor, k: Tensor, v: Tensor) -> None:
    check_rank("q", q, "B T H K")
    check_rank("k", k, "B T G K")
    check_rank("v", v, "B T G V")
    if q.shape[3] != k.shape[3]:
        raise ValueError(f"`q` must have the key size {k.shape[3]} of `k`, got {tuple(q.shape)}")
    if q.shape[2] % k.shape[2]:
        raise ValueError(f"`k` must have heads that divide {q.shape[2]}, got {tuple(k.shape)}")
    if k.shape[2] != v.shape[2]:
        raise ValueError(f"`v` must have the {k.shape[2]} heads of `k`, got {tuple(v.shape)}")


def _softmax_attention(q: Tensor, parts: list[tuple], dropout: Dropout | None = None) -> Tensor:
    """Attention of the queries `(B, S, H, K)` to all keys of the parts.

    A part is the keys `(B, G, L, K)`, the values `(B, G, L, V)` and `seen (B, S, L)`.
    """
    keys, values, seen = zip(*parts, strict=True)
    dtype, groups = accumulation_dtype(values[-1]), keys[0].shape[1]
    repeats = q.shape[2] // groups  # R heads of queries to one of keys
    q = ops.cast(q, dtype) / math.sqrt(q.shape[-1])
    q = rearrange(q, "b s (g r) k -> b g (r s) k", g=groups)
    scores = _joined([q @ ops.swapaxes(ops.cast(k, dtype), -1, -2) for k in keys])
    scores = rearrange(scores, "b g (r s) l -> b (g r) s l", r=repeats)
    scores = ops.where(_joined(seen)[:, None], scores, ops.cast(_EXCLUDED, dtype))
    weights = ops.softmax(scores, axis=-1)
    if dropout is not None:
        weights = dropout(weights)
    weights = rearrange(weights, "b (g r) s l -> b g (r s) l", r=repeats)
    ends = list(accumulate(k.shape[2] for k in keys[:-1]))
    shares = ops.split(weights, ends, axis=-1) if ends else [weights]
    o = reduce(add, (w @ ops.cast(x, dtype) for w, x in zip(shares, values, strict=True)))
    return rearrange(o, "b g (r s) v -> b s (g r) v", r=repeats)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)
