"""Mamba (Gu and Dao, 2023): a state-space layer whose coefficients depend on the input."""

from common.reproduce.lazy import lazy_exports

__all__ = ["Mamba", "MambaLM", "from_pretrained", "to_pretrained"]

__getattr__ = lazy_exports(
    __name__,
    Mamba="layers",
    MambaLM="model",
    from_pretrained="pretrained",
    to_pretrained="pretrained",
)
