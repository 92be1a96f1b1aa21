"""Mamba as Hugging Face's transformers has it in torch: beside Mamba and min_rnn."""

from collections.abc import Callable

from benchmarks.models import Model, Shape
from benchmarks.peers.torch_builtin import module_model


def peers(shape: Shape) -> dict[str, Callable[[], Model]]:
    """A Mamba mixer of the width of the layers; its step-by-step path without CUDA kernels."""
    if shape.input_dim != shape.units or not any(
        name.startswith(("mamba/", "min_rnn/")) for name in shape.cases
    ):
        return {}
    from transformers import MambaConfig
    from transformers.models.mamba.modeling_mamba import MambaMixer

    def make() -> Model:
        module = MambaMixer(MambaConfig(hidden_size=shape.units, num_hidden_layers=1), layer_idx=0)
        return module_model(module, module, shape)

    return {"transformers Mamba": make}
