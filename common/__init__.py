"""Pieces shared by the papers: ops, the layer base, tasks and the reproduction runner."""

import importlib.util
import warnings
from pathlib import Path

DISTRIBUTION = "keras-papers"


def _warn_of_other_papers() -> None:
    """Warns where another package or module named `papers` stands before the one beside this."""
    spec = importlib.util.find_spec("papers")
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    if spec is None or any((Path(place) / "registration.py").is_file() for place in places):
        return
    # Layers, ops and tasks need no papers, so this is no error.
    warnings.warn(
        f"common is {__file__}, and papers is {spec.origin or places}, expected the package that "
        "comes with common: another of the same name stands before it on sys.path.",
        stacklevel=3,
    )


_warn_of_other_papers()
