"""The states between the chunks of the chunkwise forms."""

from collections.abc import Callable

from keras import ops

from common.ops.loops import chunk_loop
from common.typing import Tensor


def states_before(
    added: Tensor, state: Tensor, kept: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The states before each chunk and after the last, of `S_n = kept_n S_{n-1} + added_n`.

    Args:
        added: What each chunk writes, `(N, B, ...)`.
        state: `(B, ...)`.
        kept: What a chunk keeps of the state before it, broadcastable to `added`; None keeps all.

    Returns:
        `(before, final)`: `(N, B, ...)` and `(B, ...)`.
    """

    def step(state: Tensor, added: Tensor, *kept: Tensor) -> tuple[Tensor, tuple[Tensor]]:
        return (kept[0] * state if kept else state) + added, (state,)

    @ops.custom_gradient
    def before_each(added: Tensor, state: Tensor, *kept: Tensor) -> tuple[Tensor, Callable]:
        _, (before,) = chunk_loop(step, state, (added, *kept))

        def grad(*args: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, ...]:
            g = args[0] if upstream is None else upstream
            # The adjoint goes back by the same recurrence.
            d_state, (d_added,) = chunk_loop(step, ops.zeros_like(state), (g, *kept), reverse=True)
            if not kept:
                return d_added, d_state
            shapes = zip(added.shape, kept[0].shape, strict=True)
            broadcast = [i for i, (size, own) in enumerate(shapes) if own == 1 and size != 1]
            d_kept = ops.sum(d_added * before, axis=broadcast, keepdims=True)
            return d_added, d_state, d_kept

        return before, grad

    gates = () if kept is None else (kept,)
    before = before_each(added, state, *gates)
    final, _ = step(before[-1], added[-1], *(gate[-1] for gate in gates))
    return before, final
