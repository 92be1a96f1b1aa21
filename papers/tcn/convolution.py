"""A causal dilated convolution along time over valid steps (section 3.3, eq. 2).

`common.ops.short_convolution` is its like for each channel on its own, without dilation.
"""

from keras import ops

from common.ops.time_axis import (
    compact,
    marked_first,
    segment_ids,
    spread,
    steps_taken,
    take_steps,
    zero_unless,
)
from common.typing import Tensor


def dilated_convolution(
    x: Tensor,
    kernel: Tensor,
    window: Tensor,
    dilation: int,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`y_t = sum_i kernel[W - 1 - i] x_{t - d i}` for `i` from 0 to `W - 1`, over valid steps only.

    Args:
        x: Inputs `(B, T, D)`.
        kernel: `(W, D, units)`, what meets the current step last.
        window: The `(W - 1) d` inputs before the first step, the newest last,
            `(B, (W - 1) d, D)`.
        dilation: Steps d between those that are seen.
        mask: `(B, T)` bool; false leaves the window as it was, and the step is skipped: its
            neighbours see each other.
        reset: `(B, T)` bool; true puts zeros into the window before the step.

    Returns:
        `(y, window)`: outputs `(B, T, units)`, those of masked steps unspecified, and the window
        after the last step.
    """
    width, span = kernel.shape[0], window.shape[1]
    length = ops.shape(x)[1]
    document = None if reset is None else segment_ids(reset)
    last_document = None if document is None else document[:, -1:]
    if mask is not None:
        x = compact(x, mask)
        if document is not None:
            document = take_steps(document, marked_first(mask))
    seen = ops.concatenate([ops.cast(window, x.dtype), x], axis=1)  # (B, span + T, D)
    if document is not None:
        document = ops.pad(document, ((0, 0), (span, 0)))  # the window is of document 0

    def met(start: int) -> Tensor:
        """What one factor meets: the steps from `start` on, zeros where of another document."""
        steps = seen[:, start : start + length]
        if document is None or start == span:
            return steps
        same = ops.equal(document[:, start : start + length], document[:, span:])
        return zero_unless(same[..., None], steps)

    # All factors in one product: several small ones take longer.
    taps = ops.concatenate([met(j * dilation) for j in range(width)], axis=-1)
    y = ops.matmul(taps, ops.reshape(kernel, (-1, kernel.shape[-1])))
    if mask is None:
        final, owner = seen[:, length:], None if document is None else document[:, length:]
    else:
        taken = steps_taken(mask)
        y = spread(y, taken)
        kept = taken[:, -1:] + ops.arange(span)
        final = take_steps(seen, kept)
        owner = None if document is None else take_steps(document, kept)
    if owner is not None:
        final = zero_unless(ops.equal(owner, last_document)[..., None], final)
    return y, final


def dilated_convolution_step(
    x: Tensor, kernel: Tensor, window: Tensor, dilation: int
) -> tuple[Tensor, Tensor]:
    """One step of `dilated_convolution`: an input `(B, D)` and a window `(B, (W - 1) d, D)`.

    Returns:
        `(y, window)`: the output `(B, units)` and the window with this input in it.
    """
    seen = ops.concatenate([ops.cast(window, x.dtype), x[:, None]], axis=1)
    taps = ops.reshape(seen[:, ::dilation], (-1, kernel.shape[0] * kernel.shape[1]))
    return ops.matmul(taps, ops.reshape(kernel, (-1, kernel.shape[-1]))), seen[:, 1:]
