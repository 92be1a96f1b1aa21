"""Values of tensors, which are known outside traced programs only."""

from typing import Any

import numpy as np
from keras import ops

from common.checks import refuse
from common.typing import Tensor


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
