"""Gated linear attention (Yang et al., 2023): a matrix memory that forgets by key dimension."""

from common.reproduce.lazy import lazy_exports

__all__ = ["GLA", "GatedLinearAttention"]

__getattr__ = lazy_exports(__name__, GatedLinearAttention="layers", GLA="model")
