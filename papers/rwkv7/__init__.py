"""RWKV-7 "Goose" (Peng et al., 2025)."""

from common.reproduce.lazy import lazy_exports

__all__ = ["RWKV7", "RWKV7LM", "RWKV7MLP", "from_pretrained", "to_pretrained"]

__getattr__ = lazy_exports(
    __name__,
    RWKV7="layers",
    RWKV7LM="model",
    RWKV7MLP="layers",
    from_pretrained="pretrained",
    to_pretrained="pretrained",
)
