"""xLSTM (Beck et al., 2024): exponential gates, a matrix memory, and recurrence in heads."""

from common.reproduce.lazy import lazy_exports

__all__ = ["MLSTM", "SIZES", "SLSTM", "XLSTM", "block_pattern"]

__getattr__ = lazy_exports(
    __name__,
    MLSTM="layers",
    SIZES="model",
    SLSTM="layers",
    XLSTM="model",
    block_pattern="model",
)
