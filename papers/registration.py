"""After `import papers` Keras finds every class of ours that a saved file names, not yet imported.

`keras.saving.load_model("model.keras")` needs no other import of ours, and `import papers` needs
no Keras: what is registered stands for a class, and imports its module when one is to be made.
"""

import importlib
import importlib.abc
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
_REGISTERED = re.compile(
    r'^@keras\.saving\.register_keras_serializable\(package="papers"\)\nclass (\w+)', re.MULTILINE
)


class Unimported:
    """Stands for a registered class until its module is imported, which registers the class."""

    def __init__(self, module: str, name: str):
        self.module = module
        self.name = name

    def from_config(self, config: dict) -> Any:
        """The class's `from_config`."""
        return getattr(importlib.import_module(self.module), self.name).from_config(config)


def registered() -> dict[str, Unimported]:
    """All classes that the sources of `common` and `papers` register, by their names in files."""
    found = {}
    for package in ("common", "papers"):
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for name in _REGISTERED.findall(path.read_text(encoding="utf-8")):
                found[f"papers>{name}"] = Unimported(module, name)
    return found


def register(keras: Any) -> None:
    """Makes Keras know the classes; those that are imported already stay as they are."""
    known = keras.saving.get_custom_objects()
    for name, unimported in registered().items():
        known.setdefault(name, unimported)


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Has `register` run at the end of the first `import keras`."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module):
                execute(module)
                register(module)

            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def register_with_keras() -> None:
    """Registers now if Keras is imported, else once it is."""
    if "keras" in sys.modules:
        register(sys.modules["keras"])
    else:
        sys.meta_path.insert(0, _AfterKeras())
