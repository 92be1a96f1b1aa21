"""Chunks of gated attention with a gate for every key dimension."""

from collections.abc import Callable

import keras
import numpy as np
from einops import rearrange
from keras import ops, tree

from common.ops.branches import switch
from common.ops.chunk_states import states_before
from common.ops.gate_by_head import later_than, up_to
from common.typing import Tensor

# Steps below which a chunk is not halved any more.
SMALLEST = 4
# While the gates of every chunk multiply to more than exp(-40), products of gates may be divided
# by one another: neither they nor what they scale leaves the range of float32.
_SAFE = 40.0


def attend_by_key(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """All chunks, for a gate a key dimension; as `attend_by_head`, with `log_decay` as `k`."""
    size, dtype = v.shape[2], v.dtype
    visible = up_to(size, dtype)
    gates = rearrange(log_decay, "b n c h k -> b n c (h k)")
    sums = rearrange(visible @ gates, "b n c (h k) -> b n c h k", h=v.shape[3])
    kept = rearrange(ops.exp(sums[:, :, -1]), "b n h k -> n b h 1 k")

    def heads(x: Tensor) -> Tensor:
        return rearrange(x, "b n c h d -> n b h c d")

    def by_products(
        q: Tensor, k: Tensor, log_decay: Tensor, sums: Tensor, kept: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        reading, keys = (heads(x) for x in _over_and_under(q, k, sums))
        scores = reading @ ops.swapaxes(keys, -1, -2)
        return scores * visible, reading, keys * kept

    def by_halves(
        q: Tensor, k: Tensor, log_decay: Tensor, sums: Tensor, kept: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        gates, keys = heads(log_decay), heads(k)
        blocks = [rearrange(x, "n b h c k -> (n b h) c k") for x in (heads(q), keys, gates)]
        scores = ops.reshape(_scores_by_halves(*blocks), (*ops.shape(keys)[:-1], size))
        until = ops.exp(later_than(size, dtype) @ gates)
        return scores, heads(ops.exp(sums) * q), until * keys

    safe = ops.min(sums[:, :, -1], initial=0.0) > -_SAFE
    scores, reading, writing = switch(
        ops.cast(safe, "int32"), (by_halves, by_products), q, k, log_decay, sums, kept
    )
    v = heads(v)
    added = ops.swapaxes(writing, -1, -2) @ v
    before, final = states_before(added, state, kept=ops.swapaxes(kept, -1, -2))
    return rearrange(scores @ v + reading @ before, "n b h c v -> b n c h v"), final


def _over_and_under(q: Tensor, k: Tensor, sums: Tensor) -> tuple[Tensor, Tensor]:
    """`exp(sums) q` and `exp(-sums) k`, whose product has the gates between two steps."""

    def scale(q: Tensor, k: Tensor, sums: Tensor) -> tuple[tuple[Tensor, Tensor], Callable]:
        gates = ops.exp(sums)
        over, under = gates * q, k / gates

        def grad(*upstream: Tensor) -> tuple[Tensor, ...]:
            d_over, d_under = tree.flatten(upstream)
            return d_over * gates, d_under / gates, d_over * over - d_under * under

        return (over, under), grad

    if keras.backend.backend() == "torch":  # where a gradient of one's own has one output
        return scale(q, k, sums)[0]
    return ops.custom_gradient(scale)(q, k, sums)


def _scores_by_halves(q: Tensor, k: Tensor, log_decay: Tensor) -> Tensor:
    """What every step reads of the steps up to it: `(M, C, K)` each to `(M, C, C)`.

    What the second half reads of the first has passed all gates from its step to the end of the
    first half, and those of the second half up to the reading step: a factor of the key and one of
    the query, both at most 1. The halves are then chunks themselves.
    """
    size, dtype = q.shape[-2], q.dtype
    if size <= SMALLEST:
        return _scores_of_few(q, k, log_decay)
    half = size // 2
    # One axis for all blocks: TensorFlow's kernels take only so many axes.
    halves = (rearrange(x, "m (two c) k -> (m two) c k", two=2) for x in (q, k, log_decay))
    own = rearrange(_scores_by_halves(*halves), "(m two) i j -> m two i j", two=2)
    keys = ops.exp(later_than(half, dtype) @ log_decay[:, :half]) * k[:, :half]
    queries = ops.exp(up_to(half, dtype) @ log_decay[:, half:]) * q[:, half:]
    read = queries @ ops.swapaxes(keys, -1, -2)
    first = ops.concatenate([own[:, 0], ops.zeros_like(read)], axis=-1)
    return ops.concatenate([first, ops.concatenate([read, own[:, 1]], axis=-1)], axis=-2)


def _scores_of_few(q: Tensor, k: Tensor, log_decay: Tensor) -> Tensor:
    """As `_scores_by_halves`, one distance in time after the other."""
    size = q.shape[-2]
    decay, gates, scores = ops.ones_like(q), ops.exp(log_decay), 0
    for distance in range(size):
        near = size - distance
        if distance:
            # From the key's step to the reading one: one gate more than from the step after it.
            decay = gates[:, distance:] * decay[:, :near]
        reads = ops.sum(q[:, distance:] * decay * k[:, :near], axis=-1)
        reads = ops.pad(reads, ((0, 0), (distance, 0)))
        diagonal = ops.convert_to_tensor(np.eye(size, k=-distance), q.dtype)
        scores = scores + reads[..., None] * diagonal
    return scores
