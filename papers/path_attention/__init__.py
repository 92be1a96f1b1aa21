"""PaTH attention (Yang et al., 2025): positions by products of Householder-like matrices; FoX."""

from common.reproduce.lazy import lazy_exports

__all__ = ["ForgettingAttention", "PaTH", "PaTHAttention"]

__getattr__ = lazy_exports(
    __name__, ForgettingAttention="layers", PaTHAttention="layers", PaTH="model"
)
