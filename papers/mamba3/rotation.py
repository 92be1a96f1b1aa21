"""Angles that are summed along time, and states seen from a frame that turns by them.

A block-diagonal rotation R_t by angles phi_t, one for each pair of coordinates, turns a state at
every step. Seen from a frame that turns with it, the state does not: what is written and what is
read at step t are turned back by the sum of the angles up to t instead (Lahoti 2026, proposition
3), and a linear recurrence without rotations is left.
"""

import math

from einops import rearrange
from keras import ops

from common.ops import complex_pairs
from common.ops.gate_by_head import up_to
from common.ops.scan import scan
from common.ops.time_axis import (
    from_chunks,
    pad_time,
    to_chunks,
    zero_unless,
    zero_where_masked,
)
from common.typing import Tensor

_TURN = 2 * math.pi
# A turn in two parts, of which the first has few binary digits: turns of it are exact. In float32
# one number would be wrong by 2e-7 at every turn, always to the same side.
_COARSE = 6.28125
_FINE = _TURN - _COARSE


def wrap(angles: Tensor) -> Tensor:
    """The same angles between -pi and pi, with the gradient of the identity."""
    turns = ops.stop_gradient(ops.round(angles / _TURN))
    return (angles - _COARSE * turns) - _FINE * turns


def turn_back(x: Tensor, angles: Tensor) -> Tensor:
    """Turns the pairs `(x_i, x_{i + N/2})` of `x (..., N)` by minus `angles (..., N/2)`."""
    turned = complex_pairs.times(
        complex_pairs.parts(x), (ops.cos(angles), ops.negative(ops.sin(angles)))
    )
    return complex_pairs.join(turned)


def sum_angles(
    angles: Tensor,
    state: Tensor,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    chunk_size: int = 64,
) -> tuple[Tensor, Tensor]:
    """The angle up to every step, that step's own included.

    Inside a chunk by one product with a triangle of ones, between chunks one after the other. No
    sum is of more than a chunk's angles and is then brought back between -pi and pi, so that it is
    as exact after any number of steps as after a chunk.

    Args:
        angles: By how much each step turns, `(B, T, H, M)`.
        state: The angle before the first step, `(B, H, M)`.
        mask: `(B, T)` bool; a step where it is false does not turn.
        reset: `(B, T)` bool; where it is true, the angle before the step is 0.
        chunk_size: C.

    Returns:
        `(sums, final)`: `(B, T, H, M)` and `(B, H, M)`, between -pi and pi.
    """
    length, heads = ops.shape(angles)[1], angles.shape[2]
    angles = rearrange(zero_where_masked(wrap(angles), mask), "b t h m -> b t (h m)")
    angles = to_chunks(pad_time(angles, chunk_size), chunk_size)  # (B, N, C, H M)
    ones = up_to(chunk_size, angles.dtype)
    # Whether a step sees the angle before its chunk.
    sees = ops.ones_like(angles[..., :1])
    if reset is not None:
        document = pad_time(ops.cast(reset, "int32"), chunk_size)
        document = ops.cumsum(to_chunks(document, chunk_size), axis=2)
        ones = zero_unless(ops.equal(document[..., :, None], document[..., None, :]), ones)
        sees = ops.cast(ops.equal(document, 0), angles.dtype)[..., None]
    within = ones @ angles

    def step(angle: Tensor, x: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        added, kept = x
        return wrap(kept * angle + added), angle

    state = rearrange(state, "b h m -> b (h m)")
    final, before = scan(step, state, (within[:, :, -1], sees[:, :, -1]))
    sums = from_chunks(wrap(sees * before[:, :, None] + within), length)
    return (
        rearrange(sums, "b t (h m) -> b t h m", h=heads),
        rearrange(final, "b (h m) -> b h m", h=heads),
    )
