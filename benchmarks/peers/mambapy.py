"""Mamba in plain torch, mambapy: the state-space layer that min_rnn's paper compares with."""

from collections.abc import Callable

from benchmarks.models import Model, Shape
from benchmarks.peers.torch_builtin import module_model


def peers(shape: Shape) -> dict[str, Callable[[], Model]]:
    """A Mamba block of the width of the layers, beside those of min_rnn."""
    if shape.input_dim != shape.units or not any(n.startswith("min_rnn/") for n in shape.cases):
        return {}
    from mambapy.mamba import MambaBlock, MambaConfig

    def make() -> Model:
        module = MambaBlock(MambaConfig(d_model=shape.units, n_layers=1))
        return module_model(module, module, shape)

    return {"mambapy Mamba": make}
