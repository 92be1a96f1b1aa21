"""Mamba-3 (Lahoti et al., 2026): a trapezoidal state-space model whose state turns."""

from common.reproduce.lazy import lazy_exports

__all__ = ["Mamba3", "Mamba3LM", "from_pretrained"]

__getattr__ = lazy_exports(
    __name__, Mamba3="layers", Mamba3LM="model", from_pretrained="pretrained"
)
