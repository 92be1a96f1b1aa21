"""What is asked of operands: shapes that fit, values in range, a dtype to accumulate in."""

from typing import Any

import keras
import numpy as np
from keras import ops

from common.checks import refuse
from common.typing import Tensor

# Of the forms that are quadratic in time: 32 GiB of float32 scores, of all rows and heads.
MOST_PAIRS = 2**33


def accumulation_dtype(x: Tensor) -> str:
    """The dtype to accumulate `x` in: its own, but float32 for the 16 bit floats."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    return "float32" if dtype in ("float16", "bfloat16") else dtype


def check_rank(name: str, x: Tensor, expected: str) -> None:
    """Raises a `ValueError` unless `x` has as many axes as `expected` names, as in "B T H K"."""
    if len(x.shape) != len(expected.split()):
        raise ValueError(
            f"`{name}` must have shape ({', '.join(expected.split())}), got {tuple(x.shape)}"
        )


def check_heads(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Raises a `ValueError` unless `q, k (B, T, H, K)` and `v (B, T, H, V)` fit together."""
    check_rank("q", q, "B T H K")
    check_rank("k", k, "B T H K")
    check_rank("v", v, "B T H V")
    if q.shape[2:] != k.shape[2:]:
        raise ValueError(
            f"`q` must have the heads and key size of `k` {tuple(k.shape)}, got {tuple(q.shape)}"
        )
    if k.shape[2] != v.shape[2]:
        raise ValueError(f"`v` must have the {k.shape[2]} heads of `k`, got {tuple(v.shape)}")


def check_pairs(v: Tensor) -> None:
    """Raises a `ValueError` where the pairs of steps of `v (B, T, H, V)` are known to be too many.

    Unknown sizes count as 1.
    """
    batch, length, heads = (size if isinstance(size, int) else 1 for size in v.shape[:3])
    pairs = batch * heads * length**2
    if pairs > MOST_PAIRS:
        raise ValueError(
            f"`v` of shape {tuple(v.shape)} has {pairs:,} pairs of steps, more than the "
            f"{MOST_PAIRS:,} that the parallel form takes: `form='chunkwise'` is linear in time"
        )


def check_below(owner: Any, name: str, values: Tensor, size: int, what: str) -> None:
    """Raises where `values` are known and one of them is not from 0 to `size - 1`.

    While a program is traced they are not known: what the program does then is the backend's
    (TensorFlow raises without XLA; XLA and JAX read some other row).
    """
    known = concrete(values)
    if known is None or not known.size:
        return
    least, most = known.min(), known.max()
    if least < 0 or most >= size:
        refuse(owner, name, f"from 0 to {size - 1}, {what}", (least if least < 0 else most).item())


def concrete(x: Tensor) -> np.ndarray | None:
    """The values of a tensor, or `None` while a program is traced."""
    try:
        return np.asarray(ops.convert_to_numpy(x))
    except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return None
