"""TCN: the convolution and the block in NumPy, what an output sees, the trial on music."""

import keras
import numpy as np
import pytest
from keras import ops

from papers.tcn import GRU, TCN, DilatedConvolution, ElmanRNN, ResidualBlock
from papers.tcn.counting import parameters
from papers.tcn.experiments import by_length, cropped, music, nll, plateaus
from papers.tcn.model import SIZES
from papers.tcn.networks import make_network
from tests.contract.papers import COMMON, ModelSubject, PaperContract

BLOCK = {"units": 4, "kernel_size": 2, "dilation": 2}
CONTRACT = PaperContract(
    models=(
        ModelSubject(
            "tcn",
            TCN,
            {"output_dim": 4, "units": 5, "num_layers": 2, "kernel_size": 3},
            COMMON | {"dropout": 0.3, "return_sequences": False, "form": "recurrent"},
            width=3,
        ),
    ),
    other_arguments={
        "DilatedConvolution": [BLOCK],
        "ResidualBlock": [BLOCK | {"dropout": 0.4}],
        "GRU": [{"units": 4}],
        "ElmanRNN": [{"units": 4}],
    },
    corners={
        "tcn-dilated-convolution": [{"dilation": 1}],
        "tcn-residual-block": [{"units": 3}],  # no 1x1 convolution
    },
)
