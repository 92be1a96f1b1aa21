"""In which order frameworks come into one process. Imports none of them by itself."""

import contextlib
import importlib
import importlib.util
import sys


def import_torch_first() -> None:
    """Imports PyTorch and Triton, where they are installed, before TensorFlow comes.

    Triton after TensorFlow ends the process with a segmentation fault (3.8 and 2.21, which bring
    an LLVM each); TensorFlow after Triton works.
    """
    if "tensorflow" in sys.modules:
        return
    for name in ("torch", "triton", "triton.language"):
        with contextlib.suppress(ImportError, OSError):
            importlib.import_module(name)


def torch_comes_too_late() -> str:
    """Why nothing of PyTorch may be imported any more; empty where it may."""
    if "tensorflow" not in sys.modules or "triton" in sys.modules:
        return ""
    if importlib.util.find_spec("triton") is None:
        return ""
    return "TensorFlow was imported before Triton, which would end the process"
