"""Other implementations, timed on the same shapes in the same run; one module a library.

Each module has `peers(shape) -> {name: make}`: what it has to set beside the layers of `shape`.
It imports its library there, so that a missing one is an absent peer, not a broken run.
"""

from collections.abc import Callable

from benchmarks.frameworks import torch_comes_too_late
from benchmarks.models import Model, Shape
from benchmarks.peers import fla, keras_builtin, keras_lmu, mambapy, torch_builtin, transformers

Make = Callable[[], Model]
LIBRARIES = {
    "keras": keras_builtin,
    "torch": torch_builtin,
    "keras-lmu": keras_lmu,
    "mambapy": mambapy,
    "transformers": transformers,
    "flash-linear-attention": fla,
}
_OF_TORCH = ("torch", "mambapy", "transformers", "flash-linear-attention")


def find_peers(shape: Shape) -> tuple[dict[str, Make], dict[str, str]]:
    """The peers of `shape` by name, and the reasons of those libraries that are absent."""
    found: dict[str, Make] = {}
    absent: dict[str, str] = {}
    too_late = torch_comes_too_late()
    for library, module in LIBRARIES.items():
        if too_late and library in _OF_TORCH:
            absent[library] = too_late
            continue
        try:
            found |= module.peers(shape)
        except (ImportError, OSError, RuntimeError, AttributeError) as error:
            absent[library] = f"{type(error).__name__}: {error}"
    return found, absent
