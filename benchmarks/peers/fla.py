"""flash-linear-attention's Triton kernels, beside the layers with a matrix memory; on a GPU."""

from collections.abc import Callable
from functools import partial

from benchmarks.models import Model, Shape
from benchmarks.peers.torch_builtin import module_model
from common.typing import Tensor

# Beginning of a layer's name, and the classes of `fla.layers` to set beside it.
_CLASSES = {
    "fast_weights/": ("DeltaNet", "LinearAttention"),
    "linear_transformer/": ("DeltaNet", "LinearAttention"),
    "delta_net/": ("DeltaNet",),
    "gla/": ("GatedLinearAttention",),
    "retnet/": ("MultiScaleRetention",),
}


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
        module = getattr(fla.layers, name)(hidden_size=shape.units, num_heads=shape.heads)

        def call(x: Tensor) -> Tensor:
            y = module(x)
            return y[0] if isinstance(y, tuple) else y

        return module_model(module, call, shape)

    return {f"fla {name}": partial(make, name) for name in sorted(names)}
