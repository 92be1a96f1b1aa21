"""The papers: every subpackage with a paper.py that holds a `PAPER`.

One `import papers` makes all of their layers and models, and those of `common`, loadable:
`keras.saving.load_model` imports what a file names. This imports neither Keras nor TensorFlow.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import common

if getattr(common, "DISTRIBUTION", None) != "keras-papers":
    raise ImportError(
        f"papers is {__file__}, and common is {getattr(common, '__file__', None)}, expected the "
        "package that comes with papers: another of the same name stands before it on sys.path."
    )

from papers.registration import register_with_keras

if TYPE_CHECKING:
    import keras

    from common.reproduce.declare.spec import Paper

register_with_keras()


def list_papers() -> tuple[str, ...]:
    """Names of the papers, in order."""
    return tuple(sorted(path.parent.name for path in Path(__file__).parent.glob("*/paper.py")))


def get_paper(name: str) -> "Paper":
    """The paper that `papers/<name>/paper.py` declares. Imports neither Keras nor TensorFlow.

    Args:
        name: one of `list_papers()`.

    Returns:
        Its `PAPER`.

    Raises:
        ValueError: if there is no such paper, or its `PAPER` has another name.
    """
    if name not in list_papers():
        raise ValueError(f"name is {name!r}, expected one of {list_papers()}.")
    paper = importlib.import_module(f"papers.{name}.paper").PAPER
    if paper.name != name:
        raise ValueError(f"papers/{name}/paper.py has the name {paper.name!r}, expected {name!r}.")
    return paper


def load(path: str | Path) -> "keras.Model":
    """The model that a run has left, or any other `.keras` file of layers and models from here.

    It is not compiled. `keras.saving.load_model`, once `papers` is imported, opens the file too.

    Args:
        path: A `.keras` file, or the directory of a run, which has a `model.keras`.

    Returns:
        The model, on any backend, whichever it was saved on.

    Raises:
        ValueError: if there is no such file.
    """
    import keras

    file = Path(path) / "model.keras" if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise ValueError(
            f"path is {str(path)!r}, expected a .keras file or a run with model.keras."
        )
    return keras.saving.load_model(file, compile=False)
