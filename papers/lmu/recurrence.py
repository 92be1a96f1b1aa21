"""The LMU's loop over time, with its own gradient: two passes over memory and two products.

Automatic differentiation would add up the transition's gradient step by step, and under
TensorFlow's XLA it takes time quadratic in T.
"""

from collections.abc import Callable

from keras import ops

from common.ops.sequence import expand_like, zero_unless
from common.ops.time_loop import time_loop

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
    marks = {"mask": mask, "reset": reset}
    marks = {
        name: ops.cast(expand_like(flags, features), features.dtype)
        for name, flags in marks.items()
        if flags is not None
    }
    padding = [0] * len(marks)

    def step(state, features, *flags):
        flags = dict(zip(marks, flags, strict=True))
        if "reset" in flags:
            state = zero_unless(flags["reset"] == 0, state)
        new = advance(features, state, transition, units, activation)
        if "mask" in flags:
            new = ops.where(flags["mask"] == 0, state, new)
        return new, new

    @ops.custom_gradient
    def differentiable(features, state, transition):
        _, states = time_loop(step, state, (features, *marks.values()), padding=(0, *padding))

        def grad(*args, upstream=None):
            return adjoint(args[0] if upstream is None else upstream)

        def adjoint(upstream):
            slopes = ACTIVATIONS[activation][1](states[..., :units])
            slopes = ops.concatenate([slopes, ops.ones_like(states[..., units:])], axis=-1)
            transposed = ops.transpose(transition)

            def backward(carry, upstream, slopes, *flags):
                flags = dict(zip(marks, flags, strict=True))
                total = carry + upstream  # dL/ds_t
                taken = zero_unless(flags["mask"] != 0, total) if "mask" in flags else total
                d_update = taken * slopes
                carry = ops.matmul(d_update, transposed)
                memory = ops.concatenate(
                    [ops.zeros_like(taken[:, :units]), taken[:, units:]], axis=-1
                )
                carry = carry + memory + (total - taken)
                if "reset" in flags:
                    carry = zero_unless(flags["reset"] == 0, carry)
                return carry, d_update

            d_state, d_features = time_loop(
                backward,
                ops.zeros_like(state),
                (upstream, slopes, *marks.values()),
                padding=(0, 0, *padding),
                reverse=True,
            )
            before = ops.concatenate([state[:, None], states[:, :-1]], axis=1)
            if "reset" in marks:
                before = zero_unless(marks["reset"] == 0, before)
            d_transition = ops.tensordot(before, d_features, axes=((0, 1), (0, 1)))
            return d_features, d_state, d_transition

        return states, grad

    # TensorFlow forgets static shapes in a function with its own gradient.
    return ops.reshape(differentiable(features, state, transition), ops.shape(features))
