"""Log-linear attention (Guo et al., 2025): memories by level of a Fenwick tree."""

from common.reproduce.lazy import lazy_exports

__all__ = ["LogLinearDeltaNet", "LogLinearLM", "LogLinearMamba2"]

__getattr__ = lazy_exports(
    __name__, LogLinearDeltaNet="layers", LogLinearLM="model", LogLinearMamba2="layers"
)
