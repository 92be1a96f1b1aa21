"""States of sequence layers: what they look like, and the operations every layer needs on them."""

import math
from dataclasses import dataclass

import keras
from keras import tree

from common.typing import Nest


@dataclass(frozen=True)
class StateSpec:
    """Shape and dtype of one tensor of a state, for one sequence.

    Args:
        shape: Shape without the batch axis.
        dtype: Name of the dtype; `None` is the layer's `state_dtype`.
    """

    shape: tuple[int, ...]
    dtype: str | None = None

    @property
    def size(self) -> int:
        """Number of elements for one sequence."""
        return math.prod(self.shape)


def check_state(state: Nest, spec: Nest, batch_size: int | None, layer_name: str) -> None:
    """Raises unless `state` has the structure and shapes of `spec` (a nest of `StateSpec`).

    Args:
        state: Nested dict of tensors.
        spec: Nested dict of `StateSpec`.
        batch_size: Static batch size of the inputs, or `None` where it is unknown.
        layer_name: Named in the message.

    Raises:
        ValueError: if a name is missing or unknown, a shape differs, or a dtype is of another
            kind: integers where the state has floating point numbers, or the other way round.
    """
    _check(state, spec, batch_size, layer_name, "initial_state")


def _check(state: Nest, spec: Nest, batch_size: int | None, layer_name: str, path: str) -> None:
    if isinstance(spec, dict):
        got = sorted(state) if isinstance(state, dict) else type(state).__name__
        if got != sorted(spec):
            raise ValueError(
                f"{layer_name}: `{path}` must be a dict with the keys {sorted(spec)}; got {got}."
            )
        for name in spec:
            _check(state[name], spec[name], batch_size, layer_name, f"{path}[{name!r}]")
        return
    shape = tuple(getattr(state, "shape", ()))
    expected = (batch_size, *spec.shape)
    fits = len(shape) == len(expected) and all(
        got is None or want is None or got == want
        for got, want in zip(shape, expected, strict=True)
    )
    if not fits:
        raise ValueError(
            f"{layer_name}: `{path}` must have shape {expected} (batch first); got {shape}."
        )
    dtype, kind = keras.backend.standardize_dtype(state.dtype), _kind(spec.dtype or "float")
    if _kind(dtype) != kind:
        raise ValueError(f"{layer_name}: `{path}` must hold {kind} numbers; got dtype {dtype}.")


def _kind(dtype: str) -> str:
    kinds = {"uint": "integer", "int": "integer", "bool": "bool", "complex": "complex"}
    return next((kind for name, kind in kinds.items() if dtype.startswith(name)), "floating point")


def spec_bytes(spec: Nest, default_dtype: str) -> int:
    """Bytes of a state for one sequence, from its nest of `StateSpec`."""
    return sum(leaf.size * _itemsize(leaf.dtype or default_dtype) for leaf in tree.flatten(spec))


def _itemsize(dtype: str) -> int:
    sizes = {"bool": 1, "bfloat16": 2, "complex64": 8, "complex128": 16}
    return sizes[dtype] if dtype in sizes else int("".join(c for c in dtype if c.isdigit())) // 8


def symbolic_state(spec: Nest, batch_size: int | None, default_dtype: str) -> Nest:
    """`KerasTensor`s of the shapes and dtypes of `spec`."""
    return tree.map_structure(
        lambda leaf: keras.KerasTensor(
            (batch_size, *leaf.shape), dtype=leaf.dtype or default_dtype
        ),
        spec,
    )
