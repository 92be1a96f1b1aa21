"""Torch's own: LSTM, GRU, and causal `scaled_dot_product_attention`, eager."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.models import Model, Shape
from common.typing import Tensor


def peers(shape: Shape) -> dict[str, Callable[[], Model]]:
    """Modules of the same widths, with cuDNN and flash attention where torch has them."""
    if shape.kernel not in ("", "linear-attention"):
        return {}
    import torch
    from torch import nn

    d, n, heads = shape.input_dim, shape.units, shape.heads

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    if shape.kernel:

        def heads_last(*inputs: Tensor) -> Tensor:
            return attend(*(x.transpose(1, 2) for x in inputs)).transpose(1, 2)

        return {"torch SDPA": lambda: Model(heads_last, torch_device=shape.torch_device)}

    class Attention(nn.Module):
        """Projections to queries, keys and values, attention, and a projection of the heads."""

        def __init__(self) -> None:
            super().__init__()
            self.projection = nn.Linear(d, 3 * n, bias=False)
            self.output = nn.Linear(n, n, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            batch, length, _ = x.shape
            heads_first = (batch, length, 3, heads, n // heads)
            q, k, v = self.projection(x).view(heads_first).permute(2, 0, 3, 1, 4)
            return self.output(attend(q, k, v).transpose(1, 2).reshape(batch, length, n))

    def recurrent(cls: Any, gates: int) -> Model:
        module = cls(d, n, batch_first=True)

        def flops(b: int, t: int) -> int:
            return 2 * b * t * gates * n * (d + n)

        return module_model(module, lambda x: module(x)[0], shape, flops)

    def attention() -> Model:
        module = Attention()

        def flops(b: int, t: int) -> int:
            # The fused kernels skip what the mask hides: half of both products over all pairs.
            return 2 * b * t * n * (3 * d + n) + 2 * b * t * t * n

        # Keys and values of every step.
        size = 2 if shape.dtype == "bfloat16" else 4
        model = module_model(module, module, shape, flops)
        return replace(model, cache_bytes=lambda length: 2 * size * n * length)

    found: dict[str, Callable[[], Model]] = {
        "torch LSTM": lambda: recurrent(nn.LSTM, 4),
        "torch GRU": lambda: recurrent(nn.GRU, 3),
    }
    if n % heads == 0:
        found["torch SDPA"] = attention
    return found


def module_model(
    module: Any,
    call: Callable[[Tensor], Tensor],
    shape: Shape,
    flops: Callable[[int, int], int] | None = None,
) -> Model:
    """The model of a torch module, put on the device and in the dtype of `shape`."""
    import torch

    module.to(device=shape.torch_device, dtype=getattr(torch, shape.dtype))
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return Model(
        call=call,
        variables=parameters,
        parameters=sum(parameter.numel() for parameter in parameters),
        flops=flops,
        torch_device=shape.torch_device,
    )
