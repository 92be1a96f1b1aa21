"""xLSTM (Beck et al., 2024): exponential gates, a matrix memory, and recurrence in heads."""

from common.reproduce.lazy import lazy_exports

__all__ = [
    "LARGE_SIZES",
    "MLSTM",
    "SIZES",
    "SLSTM",
    "XLSTM",
    "PostUpMLSTM",
    "XLSTMLarge",
    "block_pattern",
    "from_pretrained",
    "to_pretrained",
]

__getattr__ = lazy_exports(
    __name__,
    LARGE_SIZES="large",
    MLSTM="layers",
    SIZES="model",
    SLSTM="layers",
    XLSTM="model",
    PostUpMLSTM="large",
    XLSTMLarge="large",
    block_pattern="model",
    from_pretrained="pretrained",
    to_pretrained="pretrained",
)
