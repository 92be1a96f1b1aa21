"""The mLSTM's matrix memory (Beck et al., 2024, section 2.3), given keys, values and gates.

Exponential gates overflow, so C and n are kept divided by `exp(m_t)`, the largest weight in them:
`m_t = max(log f_t + m_{t-1}, log i_t)` (eq. 15), a scan of its own. Given m, C and n are gated
linear attention, with gates `exp(log f_t + m_{t-1} - m_t)`, never above 1, and keys
`exp(log i_t - m_t) k_t`; n is the memory of one more value, which is always 1.

State: `{"memory": (B, H, K, V), "normaliser": (B, H, K), "stabiliser": (B, H)}`: the transpose of
C, n and m.
"""

from einops import rearrange
from keras import ops

from common.layers import StateSpec
from common.ops.linear_scan import max_plus_scan, maximum
from common.ops.time_axis import previous, zero_unless, zero_where_masked


def memory_spec(num_heads: int, key_dim: int, value_dim: int) -> dict:
    """Shapes of the state."""
    return {
        "memory": StateSpec((num_heads, key_dim, value_dim)),
        "normaliser": StateSpec((num_heads, key_dim)),
        "stabiliser": StateSpec((num_heads,)),
    }


def memory_step(inputs, state):
    """One step.

    Args:
        inputs: `(q, k, v, log_f, log_i)`: `(B, H, K)` twice, `(B, H, V)`, and `(B, H)` twice.
        state: As above.

    Returns:
        `((read, weight, m), state)`: the products of q with C, `(B, H, V)`, and with n,
        `(B, H, 1)`, both divided by exp(m), and m, `(B, H)`.
    """
    q, k, v, log_f, log_i = inputs
    kept = log_f + state["stabiliser"]
    m = maximum(kept, log_i)  # eq. 15
    f, k = ops.exp(kept - m)[..., None], ops.exp(log_i - m)[..., None] * k  # eq. 16 and 17
    memory = f[..., None] * state["memory"] + k[..., :, None] * v[..., None, :]  # eq. 19
    normaliser = f * state["normaliser"] + k  # eq. 20
    read = ops.matmul(q[..., None, :], memory)[..., 0, :]
    weight = ops.sum(normaliser * q, axis=-1, keepdims=True)
    state = {"memory": memory, "normaliser": normaliser, "stabiliser": m}
    return (read, weight, m), state


def memory_scan(inputs, state, mask, reset, attention, scan: str):
    """`memory_step` over all steps, the second axis.

    Args:
        inputs: As of `memory_step`, for every step.
        state: As above.
        mask: `(B, T)` bool, or `None`; a step where it is false changes nothing.
        reset: `(B, T)` bool, or `None`; before a step where it is true the state is zero.
        attention: One of `common.ops.gated_attention`.
        scan: Of `common.ops.linear_scan`, for m.

    Returns:
        As `memory_step`, for every step, and the last state.
    """
    q, k, v, log_f, log_i = inputs
    # A reset puts zeros back, which is what the ops do by default.
    start = state["stabiliser"]
    m, last = max_plus_scan(log_f, log_i, start, mask=mask, reset=reset, scan=scan)
    before = previous(m, start)
    if reset is not None:
        # The step of a reset starts from the initial m, with the initial C and n.
        before = zero_unless(~reset[..., None], before)
    # Masked first: a skipped step's gate may be any size over the m that it leaves alone.
    written = ops.exp(zero_where_masked(log_i - m, mask))
    memory = ops.concatenate([state["memory"], state["normaliser"][..., None]], axis=-1)
    read, memory = attention(
        q,
        written[..., None] * k,
        ops.concatenate([v, ops.ones_like(v[..., :1])], axis=-1),
        (log_f + before - m)[..., None],
        memory,
        mask=mask,
        reset=reset,
    )
    read, weight = ops.split(read, (v.shape[-1],), axis=-1)
    state = {"memory": memory[..., :-1], "normaliser": memory[..., -1], "stabiliser": last}
    return (read, weight, m), state


def memory_divisor(weight, m):
    """What `read` is divided by, `max(|n . q|, 1)` (eq. 21), and the factor of both.

    Divided by exp(m), the 1 is exp(-m), which may overflow where m is negative: there all are
    multiplied by exp(m) again.

    Args:
        weight: `n . q` divided by exp(m), `(..., 1)`.
        m: `(...)`.

    Returns:
        `(divisor, scale)`, both `(..., 1)`: `scale read / divisor` is what is read.
    """
    m = m[..., None]
    low = ops.where(m < 0, m, ops.zeros_like(m))
    scale, least = ops.exp(low), ops.exp(low - m)
    return maximum(ops.abs(weight) * scale, least), scale


def norm_heads(x, epsilon: float):
    """The layer norm of each head, without scale and shift: `(B, T, H, V)` to `(B, T, H V)`."""
    x = x - ops.mean(x, axis=-1, keepdims=True)
    x = x * ops.rsqrt(ops.mean(x * x, axis=-1, keepdims=True) + epsilon)
    return rearrange(x, "b t h v -> b t (h v)")
