"""DeltaNet (Yang et al., 2024): the delta rule, parallel over time; signs (Grazzi 2024), gates."""

from common.reproduce.lazy import lazy_exports

__all__ = ["DeltaNet", "DeltaNetLM", "layer_from_pretrained"]

__getattr__ = lazy_exports(
    __name__, DeltaNet="layers", DeltaNetLM="model", layer_from_pretrained="pretrained"
)
