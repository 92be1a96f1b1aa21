"""Mamba and Mamba-2 as Hugging Face's transformers has them in torch, beside ours."""

from collections.abc import Callable

from benchmarks.models import Model, Shape
from benchmarks.peers.torch_builtin import module_model


def peers(shape: Shape) -> dict[str, Callable[[], Model]]:
    """Mixers of the width of the layers; in torch's own operations without the CUDA kernels."""
    if shape.input_dim != shape.units:
        return {}
    made: dict[str, Callable[[], Model]] = {}
    if any(name.startswith("mamba/") for name in shape.layers):
        from transformers import MambaConfig
        from transformers.models.mamba.modeling_mamba import MambaMixer

        def mamba() -> Model:
            config = MambaConfig(hidden_size=shape.units, num_hidden_layers=1)
            module = MambaMixer(config, layer_idx=0)
            return module_model(module, module, shape)

        made["transformers Mamba"] = mamba
    case = next((case for name, case in shape.layers.items() if name.startswith("mamba2/")), None)
    if case is not None:
        from transformers import Mamba2Config
        from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

        sizes = case.config

        def mamba2() -> Model:
            config = Mamba2Config(
                hidden_size=shape.units,
                num_hidden_layers=1,
                state_size=sizes["state_dim"],
                head_dim=sizes["head_dim"],
                num_heads=2 * shape.units // sizes["head_dim"],
                n_groups=1,
                chunk_size=sizes["chunk_size"],
            )
            module = Mamba2Mixer(config, layer_idx=0)
            return module_model(module, module, shape)

        made["transformers Mamba-2"] = mamba2
    return made
