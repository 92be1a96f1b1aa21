"""Keras's own: LSTM, GRU, multi-head and grouped-query attention, and its associative scan."""

from collections.abc import Callable
from typing import Any

import keras

from benchmarks.models import Model, Shape
from common.typing import Nest, Tensor


def peers(shape: Shape) -> dict[str, Callable[[], Model]]:
    """Layers of the same widths; attention is causal, grouped-query attention has H/2 groups."""
    if shape.kernel:
        return {"keras associative_scan": _scan} if shape.kernel == "scan" else {}
    d, n, heads = shape.input_dim, shape.units, shape.heads
    size = max(1, n // heads)

    def recurrent(cls: Any, gates: int) -> Model:
        layer = cls(n, return_sequences=True, dtype=shape.policy)

        def flops(b: int, t: int) -> int:
            return 2 * b * t * gates * n * (d + n)

        return layer_model(layer, layer, shape, flops, without_xla=True)

    def attention(cls: Any, groups: int, **arguments: int) -> Model:
        layer = cls(**arguments, dtype=shape.policy)
        products = size * (d * (heads + 2 * groups) + heads * d)

        def flops(b: int, t: int) -> int:
            # Both products over all pairs of steps: the mask saves none.
            return 2 * b * t * products + 4 * b * heads * t * t * size

        return layer_model(layer, lambda x: layer(x, x, use_causal_mask=True), shape, flops)

    multi_head = {"num_heads": heads, "key_dim": size}
    groups = max(1, heads // 2)
    grouped = {"head_dim": size, "num_query_heads": heads, "num_key_value_heads": groups}
    found: dict[str, Callable[[], Model]] = {
        "keras LSTM": lambda: recurrent(keras.layers.LSTM, 4),
        "keras GRU": lambda: recurrent(keras.layers.GRU, 3),
    }
    if d == n:  # they give back the width of their input
        found |= {
            "keras MHA": lambda: attention(keras.layers.MultiHeadAttention, heads, **multi_head),
            "keras GQA": lambda: attention(keras.layers.GroupQueryAttention, groups, **grouped),
        }
    return found


def layer_model(
    layer: Any,
    call: Callable,
    shape: Shape,
    flops: Callable[[int, int], int] | None = None,
    without_xla: bool = False,
) -> Model:
    """The model of a Keras layer, which a first call builds."""
    call(keras.ops.zeros((1, 2, shape.input_dim), shape.dtype))
    return Model(
        call=call,
        variables=layer.trainable_variables,
        parameters=layer.count_params(),
        flops=flops,
        without_xla=without_xla,
    )


def _scan() -> Model:
    def compose(earlier: Nest, later: Nest) -> Nest:
        return earlier[0] * later[0], later[0] * earlier[1] + later[1]

    def call(a: Tensor, b: Tensor) -> Tensor:
        return keras.ops.associative_scan(compose, (a, b), axis=1)[1]

    # To TensorFlow's XLA the shapes of its branches do not agree.
    return Model(call, without_xla=True)
