"""The shift system of H3: its response, and all steps at once."""

from keras import ops

from common.ops.complex_pairs import times
from common.ops.diagonal_ssm import convolution
from common.ops.operands import accumulation_dtype
from common.ops.short_convolution import causal_convolution
from common.ops.time_axis import compact, spread, steps_taken, take_steps


def shift_response(write, read):
    """What the shift system answers to a unit input, `K_j = sum_n B_n C_{n+j}`.

    Its state matrix moves the state on by one place, so that an input reaches C by j places later
    after j steps. By fast Fourier transform, as the authors do.

    Args:
        write: B, `(N, D)`, float32 or float64.
        read: C, `(N, D)`.

    Returns:
        K, `(N, D)`.
    """
    size = write.shape[0]
    padded = (ops.pad(ops.transpose(x), ((0, 0), (0, size))) for x in (write, read))  # no wrap
    (b_re, b_im), c = (ops.rfft(x) for x in padded)
    return ops.transpose(ops.irfft(times((b_re, -b_im), c))[:, :size])


def parallel_causal_convolution(x, kernel, state=None, *, mask=None, reset=None):
    """`common.ops.short_convolution.causal_convolution` by `convolution`: the kernel may be wide.

    Arguments and results are the same. That cannot forget: with `reset` it is
    `causal_convolution`, which sums W products.
    """
    if reset is not None:
        return causal_convolution(x, kernel, state, mask=mask, reset=reset)
    width, dtype = kernel.shape[0], accumulation_dtype(x)
    batch, length, channels = ops.shape(x)
    x = x if mask is None else compact(x, mask)
    before = ops.zeros((batch, width - 1, channels), x.dtype) if state is None else state
    seen = ops.concatenate([ops.cast(before, x.dtype), x], axis=1)
    response = ops.transpose(ops.flip(ops.cast(kernel, dtype), axis=0))  # (D, W)
    # Without a state, the zeros before the first step need no transform.
    convolved = ops.cast(x if state is None else seen, dtype)
    y = convolution(convolved, response)[:, -length:]
    if mask is None:
        return ops.cast(y, x.dtype), seen[:, length:]
    taken = steps_taken(mask)
    return ops.cast(spread(y, taken), x.dtype), take_steps(
        seen, taken[:, -1:] + ops.arange(width - 1)
    )
