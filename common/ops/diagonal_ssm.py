"""State spaces with a constant diagonal: `x_t = a x_{t-1} + u_t`, read as `2 Re(w . x_t)`.

Every channel has poles a of its own. They come in conjugate pairs, which make its output real, and
of each pair one is computed. This is what S4D (Gu 2022) and H3 (Fu 2022) are made of.

A complex number is two real ones: the last axis, of size N, holds the real parts of N / 2 numbers
and after them their imaginary parts. Poles are given by their logarithms, `log a`, whose real parts
are at most 0.

- recurrent: a loop over time with a custom gradient, which keeps no states of the forward pass;
- parallel: all outputs at once, as a convolution with `2 Re(w . a^t)`, in O(T log T).
"""

import math
from collections.abc import Callable

from einops import rearrange
from keras import ops

from common.ops.complex_pairs import Complex, exp, join, parts, times
from common.ops.loops import time_loop
from common.ops.operands import accumulation_dtype, check_rank
from common.ops.time_axis import (
    compact,
    expand_like,
    pad_time,
    spread,
    steps_taken,
    take_steps,
    to_chunks,
    zero_unless,
    zero_where_masked,
)
from common.typing import DType, Size, Tensor

# Steps in a block of powers where T is not known; otherwise the root of T.
_BLOCK = 64
# The transform's length is a multiple of twice this: lengths with small prime factors are fast.
_TRANSFORM = 32
# Up to so many steps a convolution is a product with a matrix.
SHORT = 128


def recurrent_diagonal_ssm(
    u: Tensor,
    log_pole: Tensor,
    weight: Tensor,
    state: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The systems, one step after the other.

    16 bit inputs are accumulated in float32.

    Args:
        u: Inputs `(B, T, D)`, a system a channel.
        log_pole: `log a`, `(D, N)`.
        weight: w, `(D, N)`.
        state: x before the first step, `(B, D, N)`; zeros by default.
        mask: `(B, T)` bool; false leaves the state as it was.
        reset: `(B, T)` bool; true puts zeros into the state before the step.

    Returns:
        `(y, final)`: outputs `(B, T, D)` in the dtype of `u`, and the state after the last step,
        `(B, D, N)`, in the accumulation dtype.

    Raises:
        ValueError: if `u`, `log_pole` or `weight` has a shape that does not fit.
    """
    output_dtype, (u, log_pole, weight, state) = _prepare(u, log_pole, weight, state)
    u = zero_where_masked(u, mask)
    if state is None:
        state = ops.zeros((ops.shape(u)[0], *log_pole.shape), u.dtype)
    # The steps that the loop is padded with are masked ones, so there is always a mask.
    valid = ops.ones_like(u[..., 0]) if mask is None else ops.cast(mask, u.dtype)
    marks = (valid,) if reset is None else (valid, ops.cast(reset, u.dtype))
    marks = tuple(x[..., None, None] for x in marks)
    y, final = _unpack(_differentiable_loop(marks)(u, pole_of(log_pole), weight, state), state)
    return ops.cast(y, output_dtype), final


def diagonal_ssm_step(
    u: Tensor, log_pole: Tensor, weight: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """One step of `recurrent_diagonal_ssm`: an input `(B, D)` and a state `(B, D, N)`.

    Returns:
        `(y, state)`: the output `(B, D)` and the next state.
    """
    x = _advance(u, exp(parts(log_pole)), parts(state))
    return _read(x, parts(weight)), join(x)


def pole_of(log_pole: Tensor) -> Tensor:
    """`a` from `log a`, both `(..., N)`."""
    return join(exp(parts(log_pole)))


def parallel_diagonal_ssm(
    u: Tensor,
    log_pole: Tensor,
    weight: Tensor,
    state: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The systems as convolutions, all steps at once.

    Arguments and results are those of `recurrent_diagonal_ssm`. A convolution cannot forget: with
    `reset` all states are computed, in N times the memory of `u`, and what was there before the
    last reset is taken out of them.
    """
    output_dtype, (u, log_pole, weight, state) = _prepare(u, log_pole, weight, state)
    taken = None
    if mask is not None:
        u, taken = compact(u, mask), steps_taken(mask)
    if reset is None:
        y, final = _outputs(u, log_pole, weight, state, taken)
    else:
        states = _states(u, log_pole, state, taken)
        states = _forget(states, log_pole, state, taken, reset)
        y, final = _read(parts(states), parts(weight)), states[:, -1]
    return ops.cast(y, output_dtype), final


def _prepare(
    u: Tensor, log_pole: Tensor, weight: Tensor, state: Tensor | None
) -> tuple[DType, tuple[Tensor, ...]]:
    check_rank("u", u, "B T D")
    check_rank("log_pole", log_pole, "D N")
    if log_pole.shape[0] != u.shape[-1] or log_pole.shape[1] % 2:
        raise ValueError(
            f"`log_pole` must have shape (D, N), the width {u.shape[-1]} of `u` and an even N; "
            f"got {tuple(log_pole.shape)}"
        )
    if tuple(weight.shape) != tuple(log_pole.shape):
        raise ValueError(
            f"`weight` must have the shape {tuple(log_pole.shape)} of `log_pole`; "
            f"got {tuple(weight.shape)}"
        )
    dtype = accumulation_dtype(u)
    cast = [ops.cast(x, dtype) for x in (u, log_pole, weight)]
    return u.dtype, (*cast, None if state is None else ops.cast(state, dtype))


def _read(x: Complex, weight: Complex) -> Tensor:
    return 2 * ops.sum(times(x, weight)[0], axis=-1)


# Step by step.


def _advance(u: Tensor, pole: Complex, x: Complex) -> Complex:
    re, im = times(pole, x)
    return re + u[..., None], im


def _differentiable_loop(marks: tuple[Tensor, ...]) -> Callable:
    """The loop over time: `(u, pole, weight, state)` to outputs and last state, packed.

    Args:
        marks: `(B, T, 1, 1)`: 1 where a step is valid, else 0; and, where there are resets, 1 for
            a reset.
    """

    def choose(flags: Tensor, chosen: Complex, otherwise: Complex) -> Complex:
        return tuple(ops.where(flags != 0, a, b) for a, b in zip(chosen, otherwise, strict=True))

    def unless_reset(x: Complex, reset: tuple[Tensor, ...]) -> Complex:
        return tuple(zero_unless(reset[0] == 0, part) for part in x) if reset else x

    @ops.custom_gradient
    def loop(u: Tensor, pole: Tensor, weight: Tensor, state: Tensor) -> tuple[Tensor, Callable]:
        pole, weight = parts(pole), parts(weight)

        def step(x: Complex, u: Tensor, valid: Tensor, *reset: Tensor) -> tuple[Complex, Tensor]:
            x = unless_reset(x, reset)
            x = choose(valid, _advance(u, pole, x), x)
            return x, _read(x, weight)

        def step_again(
            x: Complex, u: Tensor, valid: Tensor, *reset: Tensor
        ) -> tuple[Complex, Complex]:
            before = unless_reset(x, reset)
            return choose(valid, _advance(u, pole, before), before), before

        def step_back(
            carry: tuple[Complex, Complex, Complex],
            u: Tensor,
            g: Tensor,
            before_re: Tensor,
            before_im: Tensor,
            valid: Tensor,
            *reset: Tensor,
        ) -> tuple[tuple[Complex, Complex, Complex], Tensor]:
            """Propagates dL/dx back through the step; accumulates the parameters' gradients."""
            adjoint, d_pole, d_weight = carry
            before = before_re, before_im
            x = choose(valid, _advance(u, pole, before), before)
            g = 2 * g[..., None]
            d_weight = (
                d_weight[0] + ops.sum(g * x[0], axis=0),
                d_weight[1] - ops.sum(g * x[1], axis=0),
            )
            adjoint = adjoint[0] + g * weight[0], adjoint[1] - g * weight[1]
            taken = tuple(zero_unless(valid != 0, part) for part in adjoint)
            by_pole = times(taken, (before[0], -before[1]))
            d_pole = tuple(
                total + ops.sum(now, axis=0) for total, now in zip(d_pole, by_pole, strict=True)
            )
            passed = choose(valid, times(taken, (pole[0], -pole[1])), adjoint)
            return (unless_reset(passed, reset), d_pole, d_weight), ops.sum(taken[0], axis=-1)

        zeros = (0,) * len(marks)
        final, y = time_loop(step, parts(state), (u, *marks), (0, *zeros))

        def grad(*args: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, ...]:
            upstream = args[0] if upstream is None else upstream
            g, d_final = _unpack(upstream, state)
            # The states are rematerialised: N times the memory of `u`, needed only here.
            _, before = time_loop(step_again, parts(state), (u, *marks), (0, *zeros))
            nothing = tuple(ops.zeros_like(part) for part in pole)
            (d_state, d_pole, d_weight), d_u = time_loop(
                step_back,
                (parts(d_final), nothing, nothing),
                (u, g, *before, *marks),
                (0, 0, 0, 0, *zeros),
                reverse=True,
            )
            return d_u, join(d_pole), join(d_weight), join(d_state)

        return _pack(y, join(final)), grad

    return loop


# Functions with a custom gradient return one tensor: the state comes as N more steps.


def _pack(y: Tensor, state: Tensor) -> Tensor:
    return ops.concatenate([y, ops.swapaxes(state, 1, 2)], axis=1)


def _unpack(packed: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    size = like.shape[-1]
    return packed[:, :-size], ops.swapaxes(packed[:, -size:], 1, 2)


# All steps at once.


def _outputs(
    u: Tensor, log_pole: Tensor, weight: Tensor, state: Tensor | None, taken: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Outputs and last state without those in between.

    Args:
        u: `(B, T, D)`, valid steps first, zeros after them.
        log_pole: Logarithms of the poles, complex pairs `(D, N)`.
        weight: What reads the state, shaped as `log_pole`.
        state: `(B, D, N)`; None for zeros.
        taken: `(B, T)`, how many steps were valid up to each, itself included; None if all.
    """
    length = ops.shape(u)[1]
    weight = parts(weight)
    kernel = _responses(tuple(part[None] for part in weight), log_pole, length)[0]
    y = convolution(u, kernel)
    if state is not None:
        after = times(exp(parts(log_pole)), parts(state))
        y = y + ops.swapaxes(_responses(times(weight, after), log_pole, length), 1, 2)
    count = ops.cast(length, u.dtype)
    if taken is not None:
        y = spread(y, taken)
        # For the last state, the valid steps go to the end.
        count = taken[:, -1:]
        source = ops.arange(length) - length + count
        u = zero_unless((source >= 0)[..., None], take_steps(u, ops.maximum(source, 0)))
        count = ops.cast(count[..., None], u.dtype)
    final = _sum_up(u, log_pole)
    if state is not None:
        kept = times(exp(parts(log_pole * count)), parts(state))
        final = final[0] + kept[0], final[1] + kept[1]
    return y, join(final)


def _block(length: Size) -> int:
    return 2 ** math.ceil(math.log2(length) / 2) if isinstance(length, int) else _BLOCK


def _powers(log_pole: Tensor, exponents: Tensor) -> Complex:
    """`a^k` for all `exponents (K,)`, `(K, D, N / 2)`."""
    return exp(parts(log_pole * ops.cast(exponents, log_pole.dtype)[:, None, None]))


def _responses(weight: Complex, log_pole: Tensor, length: Size) -> Tensor:
    """`2 Re(w . a^t)` for t from 0 to `length - 1`: from `(R, D, N / 2)` to `(R, D, length)`.

    A power `a^(size n + s)` is the product of one of n and one of s, so that about the root of
    `length` powers are computed, and the sum is a product of matrices.
    """
    size = _block(length)
    blocks = -(-length // size)
    within = join(_powers(log_pole, ops.arange(size)))
    re, im = times(
        tuple(part[:, None] for part in weight), _powers(log_pole, size * ops.arange(blocks))
    )
    products = 2 * ops.einsum("rbdn,sdn->rdbs", join((re, -im)), within)
    return rearrange(products, "r d b s -> r d (b s)")[..., :length]


def _sum_up(u: Tensor, log_pole: Tensor) -> Complex:
    """The state after the inputs `(B, T, D)`, from zero."""
    length = ops.shape(u)[1]
    size = _block(length)
    u = ops.flip(to_chunks(pad_time(ops.flip(u, axis=1), size), size), axis=(1, 2))
    blocks = ops.shape(u)[1]
    within = join(_powers(log_pole, size - 1 - ops.arange(size)))
    inner = parts(ops.einsum("bnsd,sdm->bndm", u, within))
    x = times(inner, _powers(log_pole, size * (blocks - 1 - ops.arange(blocks))))
    return ops.sum(x[0], axis=1), ops.sum(x[1], axis=1)


def convolution(u: Tensor, kernel: Tensor) -> Tensor:
    """Causal convolutions along time, by fast Fourier transform: O(T log T).

    Up to `SHORT` steps they are products with a matrix, which are faster.

    Args:
        u: Inputs `(B, T, D)`, float32 or float64.
        kernel: Responses to a unit input, the current step first: `(D, L)`, or, R a channel,
            `(D, R, L)`.

    Returns:
        `(B, T, D)` or `(B, T, D, R)`.
    """
    length = ops.shape(u)[1]
    kernel = kernel[..., :length]
    several = len(kernel.shape) == 3
    if isinstance(length, int) and length <= SHORT and not several:
        missing = length - kernel.shape[-1]
        kernel = ops.pad(kernel, ((0, 0), (0, missing))) if missing else kernel
        return ops.einsum("dst,bsd->btd", _toeplitz(kernel), u)
    # No wrap-around.
    padded = -(-length // _TRANSFORM) * 2 * _TRANSFORM
    u = ops.rfft(ops.pad(rearrange(u, "b t d -> b d t"), ((0, 0), (0, 0), (0, padded - length))))
    missing = padded - ops.shape(kernel)[-1]
    kernel = ops.rfft(ops.pad(kernel, (*[(0, 0)] * (1 + several), (0, missing))))
    product = times(tuple(part[:, :, None] for part in u) if several else u, kernel)
    return rearrange(ops.irfft(product)[..., :length], "b d ... t -> b t d ...")


def _toeplitz(kernel: Tensor) -> Tensor:
    """What output t takes of input s, `kernel[t - s]`: `(D, s, t)` from `(D, T)`."""
    size = kernel.shape[-1]
    # Rows of the kernel and as many zeros, each row begun one place later than the one before.
    row = ops.concatenate([kernel, ops.zeros_like(kernel)], axis=-1)
    rows = ops.reshape(ops.tile(row, (1, size)), (-1, 2 * size * size))
    rows = ops.reshape(rows[:, : size * (2 * size - 1)], (-1, size, 2 * size - 1))
    return rows[:, :, :size]


def _states(u: Tensor, log_pole: Tensor, state: Tensor | None, taken: Tensor | None) -> Tensor:
    """All states, `(B, T, D, N)`; the arguments are those of `_outputs`."""
    length = ops.shape(u)[1]
    powers = join(_powers(log_pole, ops.arange(length)))
    states = convolution(u, rearrange(powers, "t d n -> d n t"))
    if taken is None:
        count = ops.arange(1, length + 1)[None]
    else:
        count = taken
        states = spread(states, taken)
        states = zero_unless(expand_like(taken > 0, states), states)
    if state is None:
        return states
    count = ops.cast(count, u.dtype)[..., None, None]
    start = tuple(part[:, None] for part in parts(state))
    return states + join(times(exp(parts(log_pole * count)), start))


def _forget(
    states: Tensor,
    log_pole: Tensor,
    state: Tensor | None,
    taken: Tensor | None,
    reset: Tensor | None,
) -> Tensor:
    """Takes out of each of the states `(B, T, D, N)` what was there before the last reset.

    The systems are linear, so that is `a^k x_r`: x_r the state just before the reset and k the
    steps taken since.
    """
    length = ops.shape(reset)[1]
    steps = ops.cumsum(ops.ones_like(reset, "int32"), axis=1)
    taken = ops.pad(steps if taken is None else taken, ((0, 0), (1, 0)))
    # The step, from 1, of the last reset, 0 for none: the resets sorted, looked up by their count.
    resets = ops.cumsum(ops.cast(reset, "int32"), axis=1)
    ordered = ops.sort(ops.where(reset, steps, 0), axis=1)
    last = ops.take_along_axis(ordered, length - 1 - resets[:, -1:] + resets, axis=1)
    before = ops.maximum(last - 1, 0)
    count = taken[:, 1:] - ops.take_along_axis(taken, before, axis=1)

    first = ops.zeros_like(states[:, 0]) if state is None else state
    old = take_steps(ops.concatenate([first[:, None], states], axis=1), before)
    old = zero_unless(expand_like(last > 0, old), old)
    decay = exp(parts(log_pole * ops.cast(expand_like(count, old), old.dtype)))
    return states - join(times(decay, parts(old)))
