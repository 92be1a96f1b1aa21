"""Griffin (De et al., 2024): gated linear recurrences mixed with local attention."""

from common.reproduce.lazy import lazy_exports

__all__ = ["SIZES", "Griffin", "RGLRU", "RecurrentBlock", "from_pretrained", "to_pretrained"]

__getattr__ = lazy_exports(
    __name__,
    SIZES="model",
    Griffin="model",
    RGLRU="layers",
    RecurrentBlock="layers",
    from_pretrained="pretrained",
    to_pretrained="pretrained",
)
