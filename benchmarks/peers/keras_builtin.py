"""Keras's own layers: LSTM, GRU, multi-head and grouped-query attention."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras

from benchmarks.models import Model, Shape


def peers(shape: Shape) -> dict[str, Callable[[], Model]]:
    """Layers of the same widths; attention is causal, grouped-query attention has H/2 groups."""
    d, n, heads = shape.input_dim, shape.units, shape.heads
    size = max(1, n // heads)

    def recurrent(cls: Any, gates: int) -> Model:
        layer = cls(n, return_sequences=True, dtype=_policy(shape))
        model = _model(layer, layer, shape, lambda b, t: 2 * b * t * gates * n * (d + n))
        return replace(model, keras_loop=True)

    def attention(cls: Any, groups: int, **arguments: int) -> Model:
        layer = cls(**arguments, dtype=_policy(shape))
        products = size * (d * (heads + 2 * groups) + heads * d)

        def flops(b: int, t: int) -> int:
            # Both products over all pairs of steps: the mask saves none.
            return 2 * b * t * products + 4 * b * heads * t * t * size

        return _model(layer, lambda x: layer(x, x, use_causal_mask=True), shape, flops)

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


def _policy(shape: Shape) -> str:
    return "mixed_bfloat16" if shape.dtype == "bfloat16" else shape.dtype


def _model(layer: Any, call: Callable, shape: Shape, flops: Callable[[int, int], int]) -> Model:
    call(keras.ops.zeros((1, 2, shape.input_dim), shape.dtype))  # builds it
    return Model(
        call=call,
        variables=layer.trainable_variables,
        units=shape.units,
        framework="keras",
        parameters=layer.count_params(),
        flops=flops,
    )
