"""The networks of table 1: a TCN, or recurrent layers with a dense layer on top."""

from typing import Any

import keras
from keras import layers

from common.checks import check_choice
from common.layers import LSTM
from papers.tcn.model import TCN
from papers.tcn.recurrent import GRU, ElmanRNN

CELLS = {"lstm": LSTM, "gru": GRU, "rnn": ElmanRNN}


def make_network(
    kind: str,
    input_dim: int,
    output_dim: int,
    units: int,
    num_layers: int,
    dropout: float = 0.0,
    return_sequences: bool = True,
    **settings: Any,
) -> keras.Model:
    """A built network.

    Args:
        kind: `"tcn"`, `"lstm"`, `"gru"` or `"rnn"`.
        input_dim: Width of the inputs.
        output_dim: Width of the outputs.
        units: Width of every layer.
        num_layers: Layers; blocks of a TCN.
        dropout: Rate after every layer; of a TCN, after every convolution.
        return_sequences: Whether there is an output at every step, or for the last one only.
        **settings: What else the layers take, `kernel_size` or `forget_bias`.

    Returns:
        A model `(B, T, input_dim)` to `(B, T, output_dim)` or `(B, output_dim)`.

    Raises:
        ValueError: if `kind` is none of these, or as the layers do.
    """
    check_choice("make_network", ("tcn", *CELLS), kind=kind)
    network: keras.Model
    if kind == "tcn":
        network = TCN(output_dim, units, num_layers, dropout=dropout,
                      return_sequences=return_sequences, **settings)  # fmt: skip
    else:
        stack: list[keras.Layer] = []
        for number in range(num_layers):
            last = number == num_layers - 1
            stack += [
                CELLS[kind](units, return_sequences=return_sequences or not last, **settings),
                layers.Dropout(dropout),
            ]
        network = keras.Sequential([*stack, layers.Dense(output_dim)])
    network.build((None, None, input_dim))
    return network
