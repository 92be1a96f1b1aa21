"""Layers that more than one paper needs, and the base of them all."""

from common.layers.attention import SMALL_GAIN, MultiHead, SoftmaxAttention, glorot
from common.layers.lstm import LSTM
from common.layers.sequence_layer import SequenceLayer, check_positive
from common.layers.state import StateSpec

__all__ = [
    "SMALL_GAIN",
    "LSTM",
    "MultiHead",
    "SequenceLayer",
    "SoftmaxAttention",
    "StateSpec",
    "check_positive",
    "glorot",
]
