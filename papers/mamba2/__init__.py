"""Mamba-2 (Dao and Gu, 2024): a state-space model that is also masked attention."""

from common.reproduce.lazy import lazy_exports

__all__ = ["Mamba2", "Mamba2LM", "from_pretrained", "to_pretrained"]

__getattr__ = lazy_exports(
    __name__,
    Mamba2="layers",
    Mamba2LM="model",
    from_pretrained="pretrained",
    to_pretrained="pretrained",
)
