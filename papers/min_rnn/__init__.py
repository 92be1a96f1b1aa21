"""Were RNNs all we needed? (Feng et al., 2024): gated recurrences without h in their gates."""

from common.reproduce.lazy import lazy_exports

__all__ = ["MinGRU", "MinLSTM", "MinRNN"]

__getattr__ = lazy_exports(__name__, MinGRU="layers", MinLSTM="layers", MinRNN="model")
