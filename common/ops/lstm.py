"""The LSTM's recurrence, with a custom gradient: one matrix product a step in each direction.

The gradient of `scan`, which knows nothing of the cell, would recompute every step's product in the
backward pass and accumulate the kernel's gradient step by step.
"""

from collections.abc import Callable

from keras import ops

from common.ops.loops import time_loop
from common.ops.operands import accumulation_dtype
from common.ops.time_axis import previous
from common.typing import Tensor

# A step is bound by its product: longer blocks take longer to compile, and no less to run.
_UNROLL = 4


def lstm_cell(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """One LSTM step from its pre-activations (Hochreiter 1997; forget gate: Gers 2000).

    Args:
        gates: Pre-activations `(B, 4 units)`: input gate, forget gate, cell input, output gate, as
            Keras and torch have them.
        cell: Cell state `(B, units)`, in the dtype that is computed in.

    Returns:
        `(hidden, cell)`, both `(B, units)` in the dtype of `cell`.
    """
    i, f, g, o = _activated(ops.cast(gates, cell.dtype))
    cell = f * cell + i * g
    return o * ops.tanh(cell), cell  # h = o tanh(c)


def _activated(gates: Tensor) -> list[Tensor]:
    """Input gate, forget gate, cell input, output gate."""
    # Split, not sliced: the gradient of a split is one concatenation.
    i, f, g, o = ops.split(gates, 4, axis=-1)
    return [ops.sigmoid(i), ops.sigmoid(f), ops.tanh(g), ops.sigmoid(o)]


def lstm_scan(gates: Tensor, hidden: Tensor, cell: Tensor, kernel: Tensor) -> tuple[Tensor, ...]:
    """`lstm_cell` over all time steps, on `gates + h K`.

    Args:
        gates: What the inputs contribute, `(B, T, 4 units)`; 16 bit floats are multiplied as such
            and accumulated in float32.
        hidden: h before the first step, `(B, units)`.
        cell: c before the first step, `(B, units)`.
        kernel: K, `(units, 4 units)`, in the dtype of `gates`.

    Returns:
        `(hidden, cell)` after every step, both `(B, T, units)` in the accumulation dtype.
    """
    dtype = accumulation_dtype(gates)

    @ops.custom_gradient
    def differentiable(
        gates: Tensor, hidden: Tensor, cell: Tensor, kernel: Tensor
    ) -> tuple[Tensor, Callable]:
        def step(
            state: tuple[Tensor, Tensor], gates: Tensor
        ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
            hidden, cell = state
            gates = gates + ops.matmul(ops.cast(hidden, gates.dtype), kernel)
            hidden, cell = state = lstm_cell(gates, cell)
            return state, (gates, cell, hidden)

        _, (sums, cells, hiddens) = time_loop(step, (hidden, cell), (gates,), (0,), unroll=_UNROLL)

        def grad(*args: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, ...]:
            upstream = args[0] if upstream is None else upstream
            d_hiddens, d_cells = ops.split(upstream, 2, axis=-1)
            i, f, g, o = _activated(ops.cast(sums, dtype))
            squashed = ops.tanh(cells)
            # The factors of dL/dc and dL/dh, for all steps at once.
            by_cell = ops.concatenate(
                [g * i * (1 - i), previous(cells, cell) * f * (1 - f), i * (1 - g * g)], axis=-1
            )
            by_hidden = squashed * o * (1 - o)
            through = o * (1 - squashed * squashed)
            transposed = ops.transpose(kernel)
            units = cell.shape[-1]

            def step_back(
                carry: tuple[Tensor, Tensor],
                d_hidden: Tensor,
                d_cell: Tensor,
                by_cell: Tensor,
                by_hidden: Tensor,
                through: Tensor,
                f: Tensor,
            ) -> tuple[tuple[Tensor, Tensor], Tensor]:
                d_hidden = d_hidden + carry[0]
                d_cell = d_cell + carry[1] + d_hidden * through
                inner = ops.concatenate([d_cell] * 3, axis=-1) * by_cell
                d_gates = ops.concatenate([inner, d_hidden * by_hidden], axis=-1)
                d_gates = ops.cast(d_gates, gates.dtype)
                d_before = ops.cast(ops.matmul(d_gates, transposed), dtype)
                return (d_before, d_cell * f), d_gates

            zeros = ops.zeros_like(cell)
            (d_hidden, d_cell), d_gates = time_loop(
                step_back,
                (zeros, zeros),
                (d_hiddens, d_cells, by_cell, by_hidden, through, f),
                # With f = 1 a padded step passes dL/dc on unchanged.
                padding=(0, 0, 0, 0, 0, 1),
                reverse=True,
                unroll=_UNROLL,
            )
            before = ops.cast(previous(hiddens, hidden), gates.dtype)
            d_kernel = ops.matmul(
                ops.transpose(ops.reshape(before, (-1, units))),
                ops.reshape(d_gates, (-1, 4 * units)),
            )
            return d_gates, d_hidden, d_cell, d_kernel

        return ops.concatenate([hiddens, cells], axis=-1), grad

    states = differentiable(gates, ops.cast(hidden, dtype), ops.cast(cell, dtype), kernel)
    return tuple(ops.split(states, 2, axis=-1))
