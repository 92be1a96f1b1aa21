"""The LMU's loop over time, with a custom gradient: two passes over memory and two products.

Automatic differentiation would accumulate the transition's gradient step by step, and under
TensorFlow's XLA it takes time quadratic in T.
"""

from collections.abc import Callable

from keras import ops

from common.ops.loops import time_loop
from common.ops.time_axis import expand_like, previous, zero_unless

# Name of an activation -> the activation, and its derivative as a function of its value.
ACTIVATIONS: dict[str, tuple[Callable, Callable]] = {
    "linear": (lambda x: x, ops.ones_like),
    "tanh": (ops.tanh, lambda y: 1 - ops.square(y)),
}


def advance(features, state, transition, units: int, activation: str):
    """One step: `h = f(x_h + s K_h)`, `m = m + x_m + s K_m`.

    Args:
        features: `x = [x_h, x_m]`, `(B, n + d)`.
        state: `s = [h, m]`, `(B, n + d)`.
        transition: `K = [K_h, K_m]`, `(n + d, n + d)`.
        units: n.
        activation: Name of f in `ACTIVATIONS`.

    Returns:
        The new state `(B, n + d)`.
    """
    update = features + ops.matmul(state, transition)
    hidden = ACTIVATIONS[activation][0](update[:, :units])
    return ops.concatenate([hidden, state[:, units:] + update[:, units:]], axis=-1)


def lmu_scan(features, state, transition, units: int, activation: str, mask=None, reset=None):
    """`advance` over all time steps.

    Args:
        features: `(B, T, n + d)`.
        state: `(B, n + d)`, the state before the first step; a reset puts back zeros.
        transition: `(n + d, n + d)`.
        units: n.
        activation: Name of f in `ACTIVATIONS`.
        mask: `(B, T)` bool or None; false leaves the state as it was.
        reset: `(B, T)` bool or None; true puts zeros back before the step.

    Returns:
        The states after all steps, `(B, T, n + d)`.
    """
    given = {"mask": mask, "reset": reset}
    marks = {
        name: ops.cast(expand_like(flags, features), features.dtype)
        for name, flags in given.items()
        if flags is not None
    }

    @ops.custom_gradient
    def differentiable(features, state, transition):
        def step(state, features, *columns):
            now = dict(zip(marks, columns, strict=True))
            state = _unless_reset(state, now)
            new = advance(features, state, transition, units, activation)
            if "mask" in now:
                new = ops.where(now["mask"] == 0, state, new)
            return new, new

        padding = (0,) * (1 + len(marks))
        _, states = time_loop(step, state, (features, *marks.values()), padding)

        def grad(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            slopes = ACTIVATIONS[activation][1](states[..., :units])
            d_features, d_state = _adjoint(upstream, slopes, transition, marks)
            before = _unless_reset(previous(states, state), marks)
            width = before.shape[-1]
            before = ops.reshape(before, (-1, width))
            d_transition = ops.matmul(ops.transpose(before), ops.reshape(d_features, (-1, width)))
            return d_features, d_state, d_transition

        return states, grad

    return differentiable(features, state, transition)


def _unless_reset(state, marks: dict):
    return zero_unless(marks["reset"] == 0, state) if "reset" in marks else state


def _adjoint(upstream, slopes, transition, marks: dict):
    """Gradients in the features and the first state, by the linear recurrence backwards in time.

    Args:
        upstream: Gradient in all states, `(B, T, n + d)`.
        slopes: f', `(B, T, n)`.
        transition: `(n + d, n + d)`.
        marks: "mask" and "reset" where given, `(B, T, 1)`, zero or one.
    """
    transposed = ops.transpose(transition)
    # Multiplying all of [h, m] is cheaper in the loop than cutting and joining it.
    in_memory = ops.cast(ops.arange(upstream.shape[-1]) >= slopes.shape[-1], upstream.dtype)
    ones = ops.ones_like(upstream[..., slopes.shape[-1] :])
    slopes = ops.concatenate([slopes, ones], axis=-1)

    def step(carry, upstream, slopes, *columns):
        now = dict(zip(marks, columns, strict=True))
        total = carry + upstream  # dL/ds_t
        taken = zero_unless(now["mask"] != 0, total) if "mask" in now else total
        d_features = taken * slopes
        carry = ops.matmul(d_features, transposed) + taken * in_memory
        if "mask" in now:
            carry = ops.where(now["mask"] == 0, total, carry)
        return _unless_reset(carry, now), d_features

    d_state, d_features = time_loop(
        step,
        ops.zeros_like(upstream[:, 0]),
        (upstream, slopes, *marks.values()),
        padding=(0,) * (2 + len(marks)),
        reverse=True,
    )
    return d_features, d_state
