"""A state space with dense constant matrices, `m_t = A m_{t-1} + B u_t` with constant A and B.

Because A and B are constant, all states at once are the convolution of the input with the impulse
response `A^t B` (Chilkuri & Eliasmith 2021, "Parallelizing Legendre memory unit training").
"""

import math

from einops import rearrange
from keras import ops

from common.ops.complex_pairs import times
from common.ops.operands import accumulation_dtype
from common.ops.scan import scan, scan_marked
from common.ops.time_axis import compact, steps_taken, take_steps
from common.typing import DType, Size, Tensor

# Powers of A applied by doubling before the rest is reached by a loop over blocks of this size.
_BLOCK = 64


def recurrent_dense_ssm(
    u: Tensor,
    a: Tensor,
    b: Tensor,
    state: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The memory, one step after the other.

    16 bit inputs are accumulated in float32.

    Args:
        u: Inputs `(B, T, ...)`; each trailing element drives a memory of its own.
        a: Transition `(N, N)`.
        b: Input vector `(N,)`.
        state: `m` before the first step, `(B, ..., N)`; `initial` by default.
        initial: `(B, ..., N)`, what a reset puts back; zeros by default.
        mask: `(B, T)` bool; false leaves the state as it was.
        reset: `(B, T)` bool; true puts the state back to `initial` before the step.

    Returns:
        `(m, final)`: all states `(B, T, ..., N)` in the dtype of `u`, and the last one
        `(B, ..., N)` in the accumulation dtype.
    """
    output_dtype, (u, a, b, state, initial) = _prepare(u, a, b, state, initial)
    a_transposed = ops.transpose(a)

    def step(m: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        m = m @ a_transposed + u[..., None] * b
        return m, m

    final, m = scan_marked(step, state, u, initial, mask, reset)
    return ops.cast(m, output_dtype), final


def fft_dense_ssm(
    u: Tensor,
    a: Tensor,
    b: Tensor,
    state: Tensor | None = None,
    *,
    initial: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The memory as a convolution, by fast Fourier transform: O(T log T), without a loop over T.

    Arguments and results are those of `recurrent_dense_ssm`; `reset` must be None, since a
    convolution cannot forget.
    """
    if reset is not None:
        raise ValueError("`reset` must be None in the FFT form; use `recurrent_dense_ssm`")
    if u.shape[0] == 0:  # of which torch's FFT on a CPU makes an error
        return recurrent_dense_ssm(u, a, b, state, initial=initial, mask=mask)
    output_dtype, (u, a, b, state, _) = _prepare(u, a, b, state, initial)
    if mask is not None:
        u = compact(u, mask)
    m = _convolve(u, a, b, state)
    final = m[:, -1]
    if mask is not None:
        m = ops.concatenate([state[:, None], m], axis=1)
        m = take_steps(m, steps_taken(mask))
        final = m[:, -1]
    return ops.cast(m, output_dtype), final


def _prepare(
    u: Tensor, a: Tensor, b: Tensor, state: Tensor | None, initial: Tensor | None
) -> tuple[DType, tuple[Tensor, ...]]:
    if len(a.shape) != 2 or a.shape[0] != a.shape[1]:
        raise ValueError(f"`a` must be a square matrix (N, N), got shape {tuple(a.shape)}")
    if tuple(b.shape) != (a.shape[0],):
        raise ValueError(f"`b` must have shape ({a.shape[0]},), got {tuple(b.shape)}")
    dtype = accumulation_dtype(u)
    batch, _, *rest = ops.shape(u)
    zeros = ops.zeros((batch, *rest, a.shape[0]), dtype)
    initial = zeros if initial is None else ops.cast(initial, dtype)
    state = initial if state is None else ops.cast(state, dtype)
    return u.dtype, (ops.cast(u, dtype), ops.cast(a, dtype), ops.cast(b, dtype), state, initial)


def _convolve(u: Tensor, a: Tensor, b: Tensor, state: Tensor) -> Tensor:
    """All states `(B, T, ..., N)` from inputs `(B, T, ...)` and the starting state."""
    batch, length, *rest = ops.shape(u)
    u = rearrange(u, "b t ... -> b (...) t")
    first = rearrange(state @ ops.transpose(a), "b ... n -> (b ...) n")
    # What is left of a unit input, and of each starting state, after every number of steps.
    response = _powers(a, ops.concatenate([b[None], first], axis=0), length)
    decay = rearrange(response[1:], "(b c) t n -> b c t n", c=math.prod(rest))

    kernel = ops.transpose(response[0])  # (N, T)
    padded = -(-length // _BLOCK) * 2 * _BLOCK  # no wrap-around, and a length the FFT likes
    kernel = ops.pad(kernel, [(0, 0), (0, padded - length)])
    u = ops.pad(u, [(0, 0), (0, 0), (0, padded - length)])
    product = times(tuple(x[:, :, None] for x in ops.rfft(u)), ops.rfft(kernel))
    m = rearrange(ops.irfft(product)[..., :length], "b c n t -> b c t n") + decay
    return ops.reshape(rearrange(m, "b c t n -> b t c n"), (batch, length, *rest, a.shape[0]))


def _powers(a: Tensor, x: Tensor, length: Size) -> Tensor:
    """`A^t x` for t from 0 to `length - 1`: from `(R, N)` to `(R, length, N)`."""
    x, power = x[:, None], ops.transpose(a)
    while x.shape[1] < _BLOCK:
        x = ops.concatenate([x, x @ power], axis=1)
        power = power @ power
    blocks = -(-length // _BLOCK)
    counter = ops.zeros((1, blocks), "int32")
    _, ys = scan(lambda x, _: (x @ power, x[None]), x, counter)
    return ops.reshape(rearrange(ys, "1 n r c s -> r (n c) s"), (-1, blocks * _BLOCK, x.shape[-1]))[
        :, :length
    ]
