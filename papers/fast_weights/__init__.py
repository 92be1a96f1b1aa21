"""Linear transformers are secretly fast weight programmers (Schlag et al., 2021)."""

from common.reproduce.lazy import lazy_exports

__all__ = ["FastWeightAttention", "KeyValueMemory"]

__getattr__ = lazy_exports(__name__, FastWeightAttention="layers", KeyValueMemory="model")
