"""DeltaProduct (Siems et al., 2025): several steps of the delta rule a token."""

from common.reproduce.lazy import lazy_exports

__all__ = ["DeltaProduct", "DeltaProductLM"]

__getattr__ = lazy_exports(__name__, DeltaProduct="layers", DeltaProductLM="model")
