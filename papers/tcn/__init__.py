"""Temporal convolutional networks (Bai, Kolter and Koltun, 2018): dilated causal convolutions."""

from common.reproduce.lazy import lazy_exports

__all__ = ["GRU", "TCN", "DilatedConvolution", "ElmanRNN", "ResidualBlock"]

__getattr__ = lazy_exports(
    __name__,
    DilatedConvolution="layers",
    ElmanRNN="recurrent",
    GRU="recurrent",
    ResidualBlock="layers",
    TCN="model",
)
