"""Recurrences whose steps compose: by a loop over time, or all steps at once."""

from collections.abc import Callable

from keras import ops

from common.ops.prefix_sums import prefers_prefix_sums, prefix_sums
from common.ops.time_loop import time_loop


def every_state(step: Callable, join: Callable, a, b, state, padding: tuple[float, float]):
    """Every `x_t = step(a_t, x_{t-1}, b_t)`; not to be differentiated.

    Args:
        step: Elementwise. Two steps one after the other are one of the same kind: that of `a` and
            `b` and then of `a'` and `b'` is the one of `join(a, a')` and `step(a', b, b')`.
        join: See `step`; of `operator`, as Keras's functions round float64 outside TensorFlow.
        a: `(B, T, ...)`.
        b: Shaped as `a`.
        state: `(B, ...)`, the state before the first step.
        padding: The `a` and the `b` with which a step leaves the state as it is.

    Returns:
        `(B, T, ...)`.
    """
    if prefers_prefix_sums(b):
        first = step(a[:, :1], state[:, None], b[:, :1])
        b = ops.concatenate([first, b[:, 1:]], axis=1)

        def compose(earlier, later):
            return join(earlier[0], later[0]), step(later[0], earlier[1], later[1])

        return prefix_sums(compose, (a, b))[1]

    def loop_step(x, a, b):
        x = step(a, x, b)
        return x, x

    return time_loop(loop_step, state, (a, b), padding)[1]
