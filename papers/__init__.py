"""The papers: every subpackage with a paper.py that holds a `PAPER`.

One `import papers` makes all of their layers and models, and those of `common`, loadable:
`keras.saving.load_model` imports what a file names. This imports neither Keras nor TensorFlow.
"""

import importlib
from pathlib import Path

from common.reproduce.spec import Paper
from papers.registration import register_with_keras

register_with_keras()


def list_papers() -> tuple[str, ...]:
    """Names of the papers, in order."""
    return tuple(sorted(path.parent.name for path in Path(__file__).parent.glob("*/paper.py")))


def get_paper(name: str) -> Paper:
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
