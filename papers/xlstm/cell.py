"""The sLSTM's recurrence (Beck et al., 2024, section 2.2), with a custom gradient.

As in `common.ops.lstm`: one matrix product a step in each direction, and the gradient of the
recurrent kernel as one product at the end.
"""

from einops import rearrange
from keras import ops

from common.ops.linear_scan import maximum
from common.ops.loops import time_loop
from common.ops.time_axis import previous

FORGET_GATES = ("sigmoid", "exponential")


def log_forget_gate(x, kind: str):
    """`log sigmoid(x)` or `log exp(x)`, the forget gate of a pre-activation (eq. 13 and 26)."""
    return -ops.softplus(-x) if kind == "sigmoid" else x


def slstm_cell(gates, cell, normaliser, stabiliser, forget_gate: str):
    """One step from the pre-activations; c and n are kept divided by exp(m).

    Args:
        gates: Pre-activations `(..., 4 d)` of input gate, forget gate, cell input and output gate,
            in the dtype that is computed in.
        cell: c, `(..., d)`.
        normaliser: n, `(..., d)`.
        stabiliser: m, `(..., d)`.
        forget_gate: `"sigmoid"` or `"exponential"`.

    Returns:
        `(hidden, cell, normaliser, stabiliser)`, each `(..., d)`.
    """
    return _cell(gates, cell, normaliser, stabiliser, forget_gate)[0]


def _cell(gates, cell, normaliser, stabiliser, forget_gate):
    """What `slstm_cell` returns, and the gates i, f, z, o and where the maximum took the old m."""
    i, f, z, o = ops.split(gates, 4, axis=-1)
    kept = log_forget_gate(f, forget_gate) + stabiliser
    won = ops.cast(kept > i, gates.dtype)
    stabiliser = maximum(kept, i)  # eq. 15
    i, f = ops.exp(i - stabiliser), ops.exp(kept - stabiliser)  # eq. 16 and 17
    z, o = ops.tanh(z), ops.sigmoid(o)
    cell = f * cell + i * z  # eq. 8
    normaliser = f * normaliser + i  # eq. 9; never below 1, as i or f is 1
    return (o * cell / normaliser, cell, normaliser, stabiliser), (i, f, z, o, won)  # eq. 10


def by_blocks(x, kernel):
    """`(..., N, n)` by a block-diagonal matrix, `(N, n, e)`, to `(..., N, e)`."""
    # One product a block, all steps together: einsum's gradient takes 30 times as long.
    flat = ops.swapaxes(ops.reshape(x, (-1, *x.shape[-2:])), 0, 1)
    product = ops.swapaxes(ops.matmul(flat, kernel), 0, 1)
    return ops.reshape(product, (*ops.shape(x)[:-1], kernel.shape[-1]))


def mix(hidden, kernel):
    """What h, `(B, H, d)`, adds to the pre-activations, through R, `(H, d, 4 d)`.

    Multiplied in the dtype of R, returned in that of h.
    """
    return ops.cast(by_blocks(ops.cast(hidden, kernel.dtype), kernel), hidden.dtype)


def slstm_scan(gates, hidden, cell, normaliser, stabiliser, kernel, forget_gate: str):
    """`slstm_cell` over all time steps, on `gates + h R`.

    Args:
        gates: What the inputs contribute, `(B, T, H, 4 d)`, in the dtype that is computed in.
        hidden: h before the first step, `(B, H, d)`.
        cell: c before the first step, `(B, H, d)`.
        normaliser: n before the first step, `(B, H, d)`.
        stabiliser: m before the first step, `(B, H, d)`.
        kernel: R, `(H, d, 4 d)`; the product with h is in its dtype.
        forget_gate: `"sigmoid"` or `"exponential"`.

    Returns:
        `(hidden, cell, normaliser, stabiliser)` after every step, each `(B, T, H, d)`.
    """

    @ops.custom_gradient
    def differentiable(gates, hidden, cell, normaliser, stabiliser, kernel):
        start = (hidden, cell, normaliser, stabiliser)

        def step(state, gates):
            gates = gates + mix(state[0], kernel)
            _, cell, normaliser, stabiliser = state
            state, activated = _cell(gates, cell, normaliser, stabiliser, forget_gate)
            forget = ops.split(gates, 4, axis=-1)[1]
            return state, (*state, *activated, forget)

        _, (h, c, n, m, i, f, z, o, won, forget) = time_loop(step, start, (gates,), (0,))

        def grad(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            h_before, c_before, n_before = (
                previous(x, first) for x, first in zip((h, c, n), start[:3], strict=True)
            )
            slope = ops.sigmoid(-forget) if forget_gate == "sigmoid" else ops.ones_like(forget)
            # The factors of dL/dh, dL/dc and dL/dn, for all steps at once.
            by_h = ops.concatenate([o / n, -h / n, c / n * o * (1 - o)], axis=-1)
            by_c = ops.concatenate([i * z, f * c_before, i * (1 - z * z)], axis=-1)
            by_n = ops.concatenate([i, f * n_before], axis=-1)
            transposed = ops.swapaxes(kernel, -1, -2)

            def step_back(carry, upstream, by_h, by_c, by_n, f, won, slope):
                d_h, d_c, d_n, d_m = (
                    x + y for x, y in zip(ops.split(upstream, 4, axis=-1), carry, strict=True)
                )
                to_c, to_n, to_o = ops.split(by_h, 3, axis=-1)
                d_c, d_n = d_c + d_h * to_c, d_n + d_h * to_n
                # Of log i' = i - m and of log f' = kept - m; m takes both with the other sign.
                c_i, c_f, c_z = ops.split(by_c, 3, axis=-1)
                n_i, n_f = ops.split(by_n, 2, axis=-1)
                d_i, d_kept = d_c * c_i + d_n * n_i, d_c * c_f + d_n * n_f
                d_m = d_m - d_i - d_kept
                d_i, d_kept = d_i + (1 - won) * d_m, d_kept + won * d_m
                d_gates = ops.concatenate([d_i, d_kept * slope, d_c * c_z, d_h * to_o], axis=-1)
                return (mix(d_gates, transposed), d_c * f, d_n * f, d_kept), d_gates

            zeros = ops.zeros_like(cell)
            d_start, d_gates = time_loop(
                step_back,
                (zeros,) * 4,
                (upstream, by_h, by_c, by_n, f, won, slope),
                padding=(0,) * 7,  # comes first, where all gradients are zero still
                reverse=True,
            )
            by_head = (
                rearrange(ops.cast(x, kernel.dtype), "b t h d -> h (b t) d")
                for x in (h_before, d_gates)
            )
            d_kernel = ops.matmul(ops.swapaxes(next(by_head), 1, 2), next(by_head))
            return (d_gates, *d_start, d_kernel)

        return ops.concatenate([h, c, n, m], axis=-1), grad

    states = differentiable(gates, hidden, cell, normaliser, stabiliser, kernel)
    return tuple(ops.split(states, 4, axis=-1))
