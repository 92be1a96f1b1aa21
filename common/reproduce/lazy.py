"""Exports that are imported on first use, so that reading a paper's claims never loads Keras."""

import importlib
from collections.abc import Callable
from typing import Any


def lazy_exports(package: str, **modules: str) -> Callable[[str], Any]:
    """A module-level `__getattr__` (PEP 562) that imports each name from its submodule.

    In `papers/lmu/__init__.py`:

        __all__ = ["LMU", "LMUModel"]
        __getattr__ = lazy_exports(__name__, LMU="layers", LMUModel="model")

    Args:
        package: the package's `__name__`.
        **modules: exported name to the submodule that defines it.

    Returns:
        The function to bind to `__getattr__`.
    """

    def __getattr__(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    return __getattr__
