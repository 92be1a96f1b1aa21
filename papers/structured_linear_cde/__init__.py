"""Structured linear CDEs (Walker et al., 2025): linear recurrences with structured transitions."""

from common.reproduce.lazy import lazy_exports

__all__ = ["SLiCE", "StackedBlocks"]

__getattr__ = lazy_exports(__name__, SLiCE="layers", StackedBlocks="model")
