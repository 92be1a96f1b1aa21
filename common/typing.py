"""What annotations call tensors, and what is made of them."""

from typing import Any

# A backend's tensor, a NumPy array or a `KerasTensor`: they have no type in common.
Tensor = Any
# A tensor, or nested dicts, lists and tuples of tensors.
Nest = Any
# The state of a layer or of a model: nested dicts of tensors.
State = dict[str, Any]
# A number of sequences, steps or the like: a scalar tensor where a traced program leaves it free.
Size = int | Tensor
# The sizes of all axes, None where they are free.
Shape = tuple[int | None, ...]
# A backend's dtype, or its name.
DType = Any
