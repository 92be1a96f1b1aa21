"""Step-by-step definitions of the recurrences, written to be read, not to be fast.

Each states one step as the paper does and loops over it: in TensorFlow's eager mode and on torch a
Python loop, on JAX `lax.scan`. Gradients come from the backend's own differentiation. The fast
forms are tested against these in float64. Arguments and shapes are those of the fast forms.
"""

from collections.abc import Callable

import keras
from keras import ops

from common.ops.attention import Cache
from common.ops.scan import scan
from common.ops.time_axis import select
from common.typing import DType, Nest, Tensor


def _loop(
    step: Callable,
    state: Nest,
    initial: Nest,
    mask: Tensor | None,
    reset: Tensor | None,
    *xs: Tensor,
) -> tuple[Tensor, Nest]:
    marks = {"mask": mask, "reset": reset}
    marks = {name: flags for name, flags in marks.items() if flags is not None}

    def body(state: Nest, inputs: tuple[Nest, dict[str, Tensor]]) -> tuple[Nest, Tensor]:
        x, marks = inputs
        if "reset" in marks:
            state = select(marks["reset"], initial, state)
        new_state, y = step(state, *x)
        return (select(marks["mask"], new_state, state) if "mask" in marks else new_state), y

    final, outputs = scan(body, state, (xs, marks))
    return outputs, final


def _start(
    state: Tensor | None, initial: Tensor | None, shape: tuple[int, ...], dtype: DType
) -> tuple[Tensor, Tensor]:
    initial = ops.zeros(shape, dtype) if initial is None else initial
    return (initial if state is None else state), initial


def linear_scan(
    a: Tensor,
    b: Tensor,
    state: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`h_t = a_t h_{t-1} + b_t`, elementwise."""
    state, initial = _start(state, initial, (b.shape[0], *b.shape[2:]), b.dtype)

    def step(h: Tensor, a_t: Tensor, b_t: Tensor) -> tuple[Tensor, Tensor]:
        h = a_t * h + b_t
        return h, h

    return _loop(step, state, initial, mask, reset, a, b)


def matrix_scan(
    a: Tensor,
    b: Tensor,
    state: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`h_t = A_t h_{t-1} + b_t`; a reset puts zeros back."""
    state, initial = _start(state, None, (b.shape[0], *b.shape[2:]), b.dtype)

    def step(h: Tensor, a_t: Tensor, b_t: Tensor) -> tuple[Tensor, Tensor]:
        h = ops.sum(a_t * h[..., None, :], axis=-1) + b_t
        return h, h

    return _loop(step, state, initial, mask, reset, a, b)


def linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: Nest | None = None,
    *,
    initial: Nest | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    normalise: bool = False,
    epsilon: float = 1e-6,
) -> tuple[Tensor, Nest]:
    """`S_t = S_{t-1} + k_t v_t^T`, `o_t = S_t^T q_t`; optionally divided by `z_t . q_t + epsilon`.

    The normaliser is `z_t = z_{t-1} + k_t`.
    """
    batch, _, heads, keys = k.shape
    if initial is None:
        initial = ops.zeros((batch, heads, keys, v.shape[-1]), v.dtype)
        if normalise:
            initial = (initial, ops.zeros((batch, heads, keys), v.dtype))
    state = initial if state is None else state

    def step(state: Nest, q_t: Tensor, k_t: Tensor, v_t: Tensor) -> tuple[Nest, Tensor]:
        memory = (state[0] if normalise else state) + k_t[..., None] * v_t[..., None, :]
        output = ops.sum(memory * q_t[..., None], axis=-2)
        if not normalise:
            return memory, output
        z = state[1] + k_t
        return (memory, z), output / (ops.sum(z * q_t, axis=-1)[..., None] + epsilon)

    return _loop(step, state, initial, mask, reset, q, k, v)


def gated_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    state: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`S_t = diag(exp(log_decay_t)) S_{t-1} + k_t v_t^T`, `o_t = S_t^T q_t`."""
    batch, _, heads, keys = k.shape
    state, initial = _start(state, initial, (batch, heads, keys, v.shape[-1]), v.dtype)

    def step(
        memory: Tensor, q_t: Tensor, k_t: Tensor, v_t: Tensor, log_decay_t: Tensor
    ) -> tuple[Tensor, Tensor]:
        memory = ops.exp(log_decay_t)[..., None] * memory + k_t[..., None] * v_t[..., None, :]
        return memory, ops.sum(memory * q_t[..., None], axis=-2)

    return _loop(step, state, initial, mask, reset, q, k, v, log_decay)


def delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    state: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`S_t = S_{t-1} + beta_t k_t (v_t - S_{t-1}^T k_t)^T`, `o_t = S_t^T q_t`."""
    batch, _, heads, keys = k.shape
    state, initial = _start(state, initial, (batch, heads, keys, v.shape[-1]), v.dtype)

    def step(
        memory: Tensor, q_t: Tensor, k_t: Tensor, v_t: Tensor, beta_t: Tensor
    ) -> tuple[Tensor, Tensor]:
        error = v_t - ops.sum(memory * k_t[..., None], axis=-2)
        memory = memory + (beta_t[..., None] * k_t)[..., None] * error[..., None, :]
        return memory, ops.sum(memory * q_t[..., None], axis=-2)

    return _loop(step, state, initial, mask, reset, q, k, v, beta)


def dense_ssm(
    u: Tensor,
    a: Tensor,
    b: Tensor,
    state: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`m_t = A m_{t-1} + B u_t` with constant `A` and `B`."""
    state, initial = _start(state, initial, (u.shape[0], *u.shape[2:], a.shape[0]), u.dtype)

    def step(m: Tensor, u_t: Tensor) -> tuple[Tensor, Tensor]:
        m = (a @ m[..., None])[..., 0] + u_t[..., None] * b
        return m, m

    return _loop(step, state, initial, mask, reset, u)


def causal_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: Cache | None = None,
    *,
    window: int,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Cache]:
    """Each query attends to the last `window` keys seen, its own included, by softmax.

    The step after `position` others replaces entry `position mod window`.
    """
    batch, length, heads, keys = k.shape
    if state is None:
        state = {
            "keys": ops.zeros((batch, heads, window, keys), k.dtype),
            "values": ops.zeros((batch, heads, window, v.shape[-1]), v.dtype),
            "position": ops.zeros((batch,), "int32"),
        }
    entries = ops.arange(window)[None]

    def step(state: Cache, q_t: Tensor, k_t: Tensor, v_t: Tensor) -> tuple[Cache, Tensor]:
        position = state["position"][:, None]
        written = (entries == position % window)[:, None, :, None]
        state = {
            "keys": ops.where(written, k_t[:, :, None], state["keys"]),
            "values": ops.where(written, v_t[:, :, None], state["values"]),
            "position": state["position"] + 1,
        }
        scores = ops.sum(q_t[:, :, None] * state["keys"], axis=-1) / keys**0.5  # (B, H, W)
        weights = ops.softmax(ops.where((entries <= position)[:, None], scores, -1e30), axis=-1)
        return state, ops.sum(weights[..., None] * state["values"], axis=2)

    empty = keras.tree.map_structure(ops.zeros_like, state)
    return _loop(step, state, empty, mask, reset, q, k, v)


def causal_convolution(
    x: Tensor,
    kernel: Tensor,
    state: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`y_t = sum_j kernel[W - 1 - j] x_{t-j}`."""
    width, channels = kernel.shape
    state, initial = _start(state, None, (x.shape[0], width - 1, channels), x.dtype)

    def step(window: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor]:
        window = ops.concatenate([window, x_t[:, None]], axis=1)
        return window[:, 1:], ops.sum(window * kernel, axis=1)

    return _loop(step, state, initial, mask, reset, x)


def max_plus_scan(
    log_f: Tensor,
    i: Tensor,
    state: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`m_t = max(log_f_t + m_{t-1}, i_t)`, elementwise."""
    state, initial = _start(state, initial, (i.shape[0], *i.shape[2:]), i.dtype)

    def step(m: Tensor, log_f_t: Tensor, i_t: Tensor) -> tuple[Tensor, Tensor]:
        kept = log_f_t + m
        m = ops.where(kept > i_t, kept, i_t)
        return m, m

    return _loop(step, state, initial, mask, reset, log_f, i)


def diagonal_ssm(
    u: Tensor,
    log_pole: Tensor,
    weight: Tensor,
    state: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`x_t = exp(log_pole) x_{t-1} + u_t`, `y_t = 2 Re(sum(weight x_t))`, complex as real pairs."""
    if state is None:
        state = ops.zeros((u.shape[0], *log_pole.shape), u.dtype)
    half = log_pole.shape[-1] // 2
    size, angle = ops.exp(log_pole[:, :half]), log_pole[:, half:]
    pole_re, pole_im = size * ops.cos(angle), size * ops.sin(angle)
    weight_re, weight_im = weight[:, :half], weight[:, half:]

    def step(x: Tensor, u_t: Tensor) -> tuple[Tensor, Tensor]:
        re, im = x[..., :half], x[..., half:]
        re, im = pole_re * re - pole_im * im + u_t[..., None], pole_re * im + pole_im * re
        y = 2 * ops.sum(weight_re * re - weight_im * im, axis=-1)
        return ops.concatenate([re, im], axis=-1), y

    return _loop(step, state, ops.zeros_like(state), mask, reset, u)


def selective_scan(
    x: Tensor,
    delta: Tensor,
    b: Tensor,
    c: Tensor,
    a: Tensor,
    state: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    negative: bool = False,
) -> tuple[Tensor, Tensor]:
    """`h_t = exp(delta_t A) h_{t-1} + delta_t x_t B_t^T`, `y_t = h_t C_t`, of `(D, N)` states.

    With `negative`, the decay is `2 exp(delta_t A) - 1`.
    """
    state, initial = _start(state, initial, (x.shape[0], *a.shape), x.dtype)

    def step(
        h: Tensor, x_t: Tensor, delta_t: Tensor, b_t: Tensor, c_t: Tensor
    ) -> tuple[Tensor, Tensor]:
        decay = ops.exp(delta_t[..., None] * a)
        decay = 2 * decay - 1 if negative else decay
        h = decay * h + (delta_t * x_t)[..., None] * b_t[:, None]
        return h, ops.sum(h * c_t[:, None], axis=-1)

    return _loop(step, state, initial, mask, reset, x, delta, b, c)


def gated_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`S_t = a_t (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T`, `o_t = S_t^T q_t`.

    The gate is `a_t = exp(log_decay_t)`.
    """
    batch, _, heads, keys = k.shape
    state, initial = _start(state, initial, (batch, heads, keys, v.shape[-1]), v.dtype)

    def step(
        memory: Tensor, q_t: Tensor, k_t: Tensor, v_t: Tensor, beta_t: Tensor, log_decay_t: Tensor
    ) -> tuple[Tensor, Tensor]:
        memory = ops.exp(log_decay_t)[..., None, None] * memory
        held = ops.sum(memory * k_t[..., None], axis=-2)
        beta_t = beta_t[..., None, None]
        memory = memory - beta_t * k_t[..., None] * held[..., None, :]
        memory = memory + beta_t * k_t[..., None] * v_t[..., None, :]
        return memory, ops.sum(memory * q_t[..., None], axis=-2)

    return _loop(step, state, initial, mask, reset, q, k, v, beta, log_decay)
