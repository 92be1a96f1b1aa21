"""Layers that more than one paper needs, and the base of them all."""

from common.layers.attention import SMALL_GAIN, MultiHead, SoftmaxAttention, glorot
from common.layers.initializers import initializer_of, output_gate_third
from common.layers.lstm import LSTM
from common.layers.scan_layer import ScanLayer
from common.layers.sequence_layer import SequenceLayer
from common.layers.state import StateSpec

__all__ = [
    "SMALL_GAIN",
    "LSTM",
    "MultiHead",
    "ScanLayer",
    "SequenceLayer",
    "SoftmaxAttention",
    "StateSpec",
    "glorot",
    "initializer_of",
    "output_gate_third",
]
