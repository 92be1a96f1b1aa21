"""flash-linear-attention's Triton kernels, beside the layers that it has too; on a GPU."""

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.models import Model, Shape
from benchmarks.peers.torch_builtin import module_model
from common.typing import Tensor

# Beginning of a layer's name, and the classes of `fla.layers` to set beside it.
_CLASSES = {
    "fast_weights/": ("DeltaNet", "LinearAttention"),
    "linear_transformer/": ("DeltaNet", "LinearAttention"),
    "delta_net/delta": ("DeltaNet",),
    "delta_net/gated": ("GatedDeltaNet",),
    "delta_product/": ("GatedDeltaProduct",),
    "gla/": ("GatedLinearAttention",),
    "mamba2/": ("Mamba2",),
    "path_attention/forgetting": ("ForgettingAttention",),
    "path_attention/path": ("PaTHAttention",),
    "retnet/": ("MultiScaleRetention",),
}
# Classes whose heads are told by their size, of values in a share of it.
_HEADS_BY_SIZE = ("GatedDeltaNet", "GatedDeltaProduct")


def peers(shape: Shape) -> dict[str, Callable[[], Model]]:
    """Layers of the same widths and heads."""
    names = {
        cls
        for start, classes in _CLASSES.items()
        if any(layer.startswith(start) for layer in shape.layers)
        for cls in classes
    }
    if shape.input_dim != shape.units or not names:
        return {}
    if shape.torch_device != "cuda":
        raise RuntimeError("its kernels need a GPU")
    import fla.layers

    def make(name: str) -> Model:
        module = getattr(fla.layers, name)(**arguments(name, shape))

        def call(x: Tensor) -> Tensor:
            y = module(x)
            return y[0] if isinstance(y, tuple) else y

        return module_model(module, call, shape)

    return {f"fla {name}": partial(make, name) for name in sorted(names)}


def arguments(name: str, shape: Shape) -> dict[str, Any]:
    """Of the class of `fla.layers`, for what `shape` says; other sizes are its own."""
    sizes: dict[str, Any] = {"hidden_size": shape.units, "num_heads": shape.heads}
    if name in _HEADS_BY_SIZE:
        sizes |= {"head_dim": shape.units // shape.heads, "expand_v": 1}
    if name == "Mamba2":  # its heads are of the expanded width, and of 64 as in the paper
        (config,) = (case.config for case in shape.layers.values() if "Mamba2" in case.factory)
        state, head = config["state_dim"], config["head_dim"]
        sizes |= {"num_heads": 2 * shape.units // head, "head_dim": head, "state_size": state}
    return sizes
