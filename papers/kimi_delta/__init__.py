"""Kimi delta attention (Kimi Team, 2025) and Gated DeltaNet-2 (Hatamizadeh et al., 2026)."""

from common.reproduce.lazy import lazy_exports

__all__ = ["KimiDelta", "KimiDeltaLM", "layer_from_pretrained"]

__getattr__ = lazy_exports(
    __name__, KimiDelta="layers", KimiDeltaLM="model", layer_from_pretrained="pretrained"
)
