"""Mamba in plain torch, mambapy, with its parallel scan: beside the diagonal scans."""

from collections.abc import Callable

from benchmarks.models import Model, Shape
from benchmarks.peers.torch_builtin import module_model


def peers(shape: Shape) -> dict[str, Callable[[], Model]]:
    """A Mamba block of the width of the layers."""
    if shape.input_dim != shape.units or not any(
        name.startswith(("mamba/", "griffin/", "min_rnn/")) for name in shape.layers
    ):
        return {}
    from mambapy.mamba import MambaBlock, MambaConfig

    def make() -> Model:
        module = MambaBlock(MambaConfig(d_model=shape.units, n_layers=1))
        return module_model(module, module, shape)

    return {"mambapy Mamba": make}
