"""What is timed: a function over a sequence, its weights, and what it costs by formula."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import keras
import numpy as np

from common.reproduce.spec import LayerCase


@dataclass(frozen=True)
class Model:
    """A built layer of ours or of another library.

    Attributes:
        call: `(B, T, D)` to `(B, T, units)`, differentiable.
        variables: trainable weights: Keras variables, or torch parameters.
        units: width of the outputs.
        framework: whose tensors `call` takes: those of Keras's backend, or torch's.
        parameters: numbers in the weights.
        flops: `(batch, length)` to floating-point operations of the products of a forward pass.
        step: `(B, D)` and a state to `(B, units)` and a state, or None.
        initial_state: batch size to a state, where there is a `step`.
        state_bytes: of one sequence, where there is a `step`.
        keras_loop: whether it is a loop of Keras's. TensorFlow's XLA differentiates one in time
            and memory quadratic in T, so it is compiled without XLA.
    """

    call: Callable[[Any], Any]
    variables: list[Any]
    units: int
    framework: Literal["keras", "torch"]
    parameters: int
    flops: Callable[[int, int], int] | None = None
    step: Callable[[Any, Any], Any] | None = None
    initial_state: Callable[[int], Any] | None = None
    state_bytes: int | None = None
    keras_loop: bool = False


@dataclass(frozen=True)
class Shape:
    """The widths that competitors share, and the layer case that sets them.

    `torch_device` is where torch's peers compute.
    """

    input_dim: int
    units: int
    heads: int
    dtype: str
    torch_device: str
    cases: dict[str, LayerCase] = field(hash=False, compare=False, default_factory=dict)


def layer_model(case: LayerCase, form: str, dtype: str) -> Model:
    """The layer of `case`, computing in `form`; its weights do not depend on the form."""
    keras.utils.set_random_seed(0)
    policy = "mixed_bfloat16" if dtype == "bfloat16" else dtype
    layer = _make(case, form=form, dtype=policy)
    layer.build((None, None, case.input_dim))
    return Model(
        call=layer,
        variables=layer.trainable_variables,
        units=layer.output_dim,
        framework="keras",
        parameters=layer.count_params(),
        flops=layer.flops,
        step=layer.step,
        initial_state=layer.get_initial_state,
        state_bytes=layer.state_bytes(1),
    )


def output_width(case: LayerCase) -> int:
    """Width of the outputs of the layer of `case`."""
    return _make(case).output_dim


def _make(case: LayerCase, **arguments: Any) -> Any:
    module, attribute = case.factory.split(":")
    return getattr(importlib.import_module(module), attribute)(**case.config, **arguments)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal numbers in float32."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype("float32")
