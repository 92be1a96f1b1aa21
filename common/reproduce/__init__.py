"""Reproduction of papers: what a paper declares, the runner, and the verdicts."""

from typing import TYPE_CHECKING

from common.reproduce.lazy import lazy_exports

if TYPE_CHECKING:
    from common.reproduce.cli import main
    from common.reproduce.run import Run
    from common.reproduce.training import evaluations_since_best

__all__ = ["Run", "evaluations_since_best", "lazy_exports", "main"]

__getattr__ = lazy_exports(__name__, Run="run", evaluations_since_best="training", main="cli")
