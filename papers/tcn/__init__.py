"""Temporal convolutional networks (Bai, Kolter and Koltun, 2018): dilated causal convolutions."""

from common.reproduce.lazy import lazy_exports

__all__ = ["TCN", "DilatedConvolution", "ResidualBlock"]

__getattr__ = lazy_exports(
    __name__, DilatedConvolution="layers", ResidualBlock="layers", TCN="model"
)
