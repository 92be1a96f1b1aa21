"""Other implementations, timed on the same shapes in the same run; one module a library.

Each module has `peers(shape) -> {name: make}`: what it has to set beside the layers or the kernel
of `shape`. It imports its library there, so that a missing one is an absent peer, not a broken
run. A peer's name begins with that of its library.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from benchmarks.frameworks import torch_comes_too_late

if TYPE_CHECKING:
    from benchmarks.models import Model, Shape

# Library to its module here.
LIBRARIES = {
    "keras": "keras_builtin",
    "torch": "torch_builtin",
    "keras-lmu": "keras_lmu",
    "mambapy": "mambapy",
    "transformers": "transformers",
    "fla": "fla",
}
_OF_TORCH = ("torch", "mambapy", "transformers", "fla")


def library_of(name: str) -> str | None:
    """The library of a peer's name; None of what is no peer."""
    first = name.partition(" ")[0]
    return first if first in LIBRARIES else None


def find_peers(
    shape: "Shape", asked: Sequence[str] = ("all",)
) -> "tuple[dict[str, Callable[[], Model]], dict[str, str]]":
    """The peers of `shape` by name, and the reasons of those libraries that are absent.

    Args:
        shape: what they must have.
        asked: "all", libraries, and names of peers, whose libraries are looked into.
    """
    found: dict[str, Callable[[], Model]] = {}
    absent: dict[str, str] = {}
    libraries = {name.partition(" ")[0] for name in asked}
    too_late = torch_comes_too_late()
    for library, module in LIBRARIES.items():
        if not {"all", library} & libraries:
            continue
        if too_late and library in _OF_TORCH:
            absent[library] = too_late
            continue
        try:
            found |= importlib.import_module(f"{__name__}.{module}").peers(shape)
        except (ImportError, OSError, RuntimeError, AttributeError) as error:
            absent[library] = f"{type(error).__name__}: {error}"
    return found, absent
