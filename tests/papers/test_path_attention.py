"""PaTH attention: re-derived in NumPy, its special cases, its theorem, its task."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from common.layers import SoftmaxAttention
from common.tasks.flip_flop import IGNORE, READ, WRITE, FlipFlop
from papers.path_attention import ForgettingAttention, PaTH, PaTHAttention
from papers.path_attention.experiments import LinearDecay
from tests.contract.papers import APART, HEADS, SIZE, ModelSubject, PaperContract

CONTRACT = PaperContract(
    models=(
        ModelSubject(
            "path",
            PaTH,
            {**SIZE, "num_layers": 1, "num_heads": 2, "window": 6, "hidden_units": 6},
            APART | {"num_heads": 2, "hidden_units": 6, "chunk_size": 4, "form": "recurrent"},
        ),
    ),
    other_arguments={
        "PaTHAttention": [
            HEADS
            | {"window": 3, "forget_gate": True, "rank": None, "kernel_size": 4, "chunk_size": 2}
        ],
        "ForgettingAttention": [HEADS | {"window": 3, "chunk_size": 2}],
    },
    corners={
        "path_attention-path-attention": [
            {"num_heads": 1, "forget_gate": False},
            {"kernel_size": None, "rank": None, "window": 1},
        ],
        "path_attention-forgetting-attention": [{"num_heads": 1, "window": 1}],
    },
)
FORMS = PaTHAttention.forms


def array(x):
    return ops.convert_to_numpy(x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def drawn(layer, x, seed=0):
    """The layer built for `x` with random weights, and these by name."""
    layer.build(x.shape)
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(0.7 * rng.standard_normal(weight.shape))
    return layer, {weight.name: array(weight) for weight in layer.weights}
