"""flash-linear-attention's Triton kernels, beside the layers with a matrix memory; on a GPU."""

from collections.abc import Callable

from benchmarks.models import Model, Shape
from benchmarks.peers.torch_builtin import module_model

_MATRIX_MEMORIES = ("fast_weights/", "linear_transformer/")


def peers(shape: Shape) -> dict[str, Callable[[], Model]]:
    """DeltaNet and linear attention of the same widths and heads."""
    if shape.input_dim != shape.units or not any(
        n.startswith(_MATRIX_MEMORIES) for n in shape.cases
    ):
        return {}
    if shape.torch_device != "cuda":
        raise RuntimeError("its kernels need a GPU")
    from fla.layers import DeltaNet, LinearAttention

    def make(cls) -> Model:
        module = cls(hidden_size=shape.units, num_heads=shape.heads)

        def call(x):
            y = module(x)
            return y[0] if isinstance(y, tuple) else y

        return module_model(module, call, shape)

    return {
        "fla DeltaNet": lambda: make(DeltaNet),
        "fla LinearAttention": lambda: make(LinearAttention),
    }
