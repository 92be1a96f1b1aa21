"""What the tasks of the Neural Turing Machine share: bit vectors laid out along time."""

from typing import Any

import numpy as np

from common.checks import check_flags
from common.tasks.task import Arrays


def check_padding(task: Any, pad: bool, shared_length: bool) -> None:
    """Raises a `ValueError` unless sequences of one batch end up equally long."""
    check_flags(task, pad=pad, shared_length=shared_length)
    if not (pad or shared_length):
        raise ValueError(
            f"{type(task).__name__}: `pad` must be True unless `shared_length` is, or the "
            f"sequences of a batch differ in length; got {pad!r}."
        )


def draw_lengths(
    rng: np.random.Generator, low: int, high: int, batch_size: int, shared: bool
) -> np.ndarray:
    """Lengths from `low` to `high`, int64 `(B, 1)`: one for all, or one for each example."""
    lengths = rng.integers(low, high, size=(1 if shared else batch_size, 1), endpoint=True)
    return np.broadcast_to(lengths, (batch_size, 1))


def draw_bits(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Fair coin flips as float32 of the given shape."""
    return rng.integers(2, size=shape, dtype=np.int8).astype(np.float32)


def place(vectors: np.ndarray, steps: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Lays vectors out along time.

    Args:
        vectors: Array of shape `(B, S, bits)`.
        steps: Which vector stands at each time step, integers `(B, T)`.
        where: Whether one does, bools `(B, T)`; zeros stand elsewhere.

    Returns:
        Array of shape `(B, T, bits)`.
    """
    index = np.where(where, steps, 0)[..., None]
    return np.take_along_axis(vectors, index, axis=1) * where[..., None].astype(vectors.dtype)


def episode(inputs: np.ndarray, targets: np.ndarray, scored: np.ndarray) -> Arrays:
    """The arrays of a batch; `scored` are the time steps that count, bools `(B, T)`."""
    return {"inputs": inputs, "targets": targets, "weights": scored.astype(np.float32)}
