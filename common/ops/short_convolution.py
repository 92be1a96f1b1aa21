"""A causal convolution along time, each channel on its own, over the last few valid steps.

Mamba (Gu 2023), DeltaNet (Yang 2024), Griffin (De 2024) and others put one before their
recurrence. Its state holds the last `W - 1` inputs, so that it can be streamed.
"""

from collections.abc import Callable, Iterable
from functools import reduce
from operator import add

from keras import ops

from common.ops.operands import accumulation_dtype, check_rank
from common.ops.time_axis import (
    compact,
    marked_first,
    spread,
    steps_taken,
    take_steps,
    zero_unless,
)
from common.typing import Size, Tensor


def causal_convolution(
    x: Tensor,
    kernel: Tensor,
    state: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`y_t = sum_j kernel[W - 1 - j] x_{t-j}` for `j` from 0 to `W - 1`, over valid steps only.

    16 bit inputs are accumulated in float32.

    Args:
        x: Inputs `(B, T, D)`.
        kernel: `(W, D)`, the current step's factor last.
        state: The `W - 1` inputs before the first step, the newest last, `(B, W - 1, D)`; zeros
            by default.
        mask: `(B, T)` bool; false leaves the state as it was, and the step is skipped: its
            neighbours see each other.
        reset: `(B, T)` bool; true puts zeros into the state before the step.

    Returns:
        `(y, final)`: outputs `(B, T, D)`, and the state after the last step, `(B, W - 1, D)`,
        both in the dtype of `x`.

    Raises:
        ValueError: if `x` or `kernel` has the wrong rank, or their widths differ.
    """
    check_rank("x", x, "B T D")
    _check_kernel(kernel, x)
    width, dtype = kernel.shape[0], accumulation_dtype(x)
    batch, length, channels = ops.shape(x)
    if state is None:
        state = ops.zeros((batch, width - 1, channels), x.dtype)
    document = None if reset is None else ops.cumsum(ops.cast(reset, "int32"), axis=1)
    last_document = None if document is None else document[:, -1:]
    if mask is not None:
        x = compact(x, mask)
        if document is not None:
            document = take_steps(document, marked_first(mask))
    seen = ops.concatenate([ops.cast(state, x.dtype), x], axis=1)  # (B, W - 1 + T, D)
    if document is not None:
        document = ops.pad(document, ((0, 0), (width - 1, 0)))  # the state is of document 0
    y = _convolve(ops.cast(seen, dtype), ops.cast(kernel, dtype), document, length)
    final = seen[:, length:]
    if mask is not None:
        taken = steps_taken(mask)
        y = spread(y, taken)
        kept = taken[:, -1:] + ops.arange(width - 1)
        final = take_steps(seen, kept)
        if document is not None:
            own = take_steps(document, kept) == last_document
            final = zero_unless(own[..., None], final)
    elif document is not None:
        final = zero_unless((document[:, length:] == last_document)[..., None], final)
    return ops.cast(y, x.dtype), final


def causal_convolution_step(x: Tensor, kernel: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """One step of `causal_convolution`: an input `(B, D)` and a state `(B, W - 1, D)`.

    Returns:
        `(y, state)`: the output `(B, D)` and the state with this input in it.
    """
    _check_kernel(kernel, x)
    dtype = accumulation_dtype(x)
    seen = ops.concatenate([ops.cast(state, x.dtype), x[:, None]], axis=1)
    y = ops.sum(ops.cast(seen, dtype) * ops.cast(kernel, dtype), axis=1)
    return ops.cast(y, x.dtype), seen[:, 1:]


def _convolve(seen: Tensor, kernel: Tensor, document: Tensor | None, length: Size) -> Tensor:
    """The outputs `(B, T, D)` from the state and the inputs behind it, `(B, W - 1 + T, D)`.

    With a custom gradient: TensorFlow's of a slice is slow outside XLA.
    """
    width = kernel.shape[0]

    def of_same_document(j: int, x: Tensor) -> Tensor:
        """`x` of the outputs' steps, zero where the step that factor `j` meets is of another."""
        if document is None or j == width - 1:
            return x
        # TensorFlow's `==` allows shapes that do not fit, and so forgets their rank.
        same = ops.equal(document[:, j : j + length], document[:, width - 1 :])
        return zero_unless(same[..., None], x)

    def met(seen: Tensor) -> list[Tensor]:
        """What the factors meet, of every output's step, the newest last."""
        return [of_same_document(j, seen[:, j : j + length]) for j in range(width)]

    @ops.custom_gradient
    def convolve(seen: Tensor, kernel: Tensor) -> tuple[Tensor, Callable]:
        y = _total(part * kernel[j] for j, part in enumerate(met(seen)))

        def grad(*args: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, ...]:
            g = args[0] if upstream is None else upstream
            d_seen = _total(
                ops.pad(of_same_document(j, g) * kernel[j], ((0, 0), (j, width - 1 - j), (0, 0)))
                for j in range(width)
            )
            d_kernel = ops.stack([ops.sum(g * part, axis=(0, 1)) for part in met(seen)])
            return d_seen, d_kernel

        return y, grad

    return convolve(seen, kernel)


def _total(parts: Iterable) -> Tensor:
    """`sum`, which would add every element of the first part to zero."""
    return reduce(add, parts)


def _check_kernel(kernel: Tensor, x: Tensor) -> None:
    if len(kernel.shape) != 2 or kernel.shape[1] != x.shape[-1]:
        raise ValueError(
            f"`kernel` must have shape (W, {x.shape[-1]}), the width of `x`; "
            f"got {tuple(kernel.shape)}"
        )
