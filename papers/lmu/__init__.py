"""Legendre memory units (Voelker, Kajić & Eliasmith, 2019): a derived linear memory."""

from common.reproduce.lazy import lazy_exports

__all__ = ["LMU", "LMUModel", "LegendreMemory", "LegendreReadout"]

__getattr__ = lazy_exports(
    __name__,
    LMU="layers",
    LMUModel="model",
    LegendreMemory="layers",
    LegendreReadout="legendre",
)
