"""Networks between the mixers, applied to every step on its own."""

import contextlib
from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from common.checks import check_flags, check_positive, refuse
from common.ops.activations import gelu_tanh
from common.typing import Shape, Tensor


@keras.saving.register_keras_serializable(package="papers")
class MLP(layers.Layer):
    """`W_2 f(W_1 x)` on the last axis.

    Args:
        hidden_units: Width between the two layers.
        activation: f, by its name in Keras, or `"gelu_tanh"`, its approximation of "gelu".
        use_bias: Whether the layers have biases.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: if an argument is of the wrong type or out of its range.
    """

    def __init__(
        self, hidden_units: int, activation: str = "gelu", use_bias: bool = True, **kwargs: Any
    ):
        super().__init__(**kwargs)
        check_positive(self, hidden_units=hidden_units)
        check_flags(self, use_bias=use_bias)
        self._activate = activation_of(self, "activation", activation)
        self.supports_masking = True
        self.hidden_units = hidden_units
        self.activation = activation
        self.use_bias = use_bias

    def build(self, input_shape: Shape) -> None:
        options = {"use_bias": self.use_bias, "dtype": self.dtype_policy}
        self.expand = layers.Dense(self.hidden_units, **options)
        self.contract = layers.Dense(input_shape[-1], **options)
        self.expand.build(input_shape)
        self.contract.build((*input_shape[:-1], self.hidden_units))

    def call(self, inputs: Tensor) -> Tensor:
        return self.contract(self._activate(self.expand(inputs)))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "activation": self.activation,
            "use_bias": self.use_bias,
        }


@keras.saving.register_keras_serializable(package="papers")
class GatedMLP(MLP):
    """`W_2 (f(W_g x) * W_1 x)` (Shazeer 2020): SwiGLU with `"silu"`, GeGLU with `"gelu"`.

    Args:
        hidden_units: Width between the layers.
        activation: f, by its name in Keras, or `"gelu_tanh"`, its approximation of "gelu".
        use_bias: Whether the layers have biases.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: if an argument is of the wrong type or out of its range.
    """

    def __init__(
        self, hidden_units: int, activation: str = "silu", use_bias: bool = False, **kwargs: Any
    ):
        super().__init__(hidden_units, activation, use_bias, **kwargs)

    def build(self, input_shape: Shape) -> None:
        options = {"use_bias": self.use_bias, "dtype": self.dtype_policy}
        self.expand = layers.Dense(2 * self.hidden_units, **options)  # both in one product
        self.contract = layers.Dense(input_shape[-1], **options)
        self.expand.build(input_shape)
        self.contract.build((*input_shape[:-1], self.hidden_units))

    def call(self, inputs: Tensor) -> Tensor:
        gate, value = ops.split(self.expand(inputs), 2, axis=-1)
        return self.contract(self._activate(gate) * value)


def activation_of(owner: layers.Layer, argument: str, name: str) -> Callable:
    """The activation that the string `name`, an argument of `owner`, stands for.

    Raises:
        ValueError: naming the argument, if it stands for none.
    """
    if isinstance(name, str):
        if name == "gelu_tanh":
            return gelu_tanh
        with contextlib.suppress(ValueError):
            return keras.activations.get(name)
    refuse(owner, argument, "the name of an activation of Keras's, or 'gelu_tanh'", name)
    raise AssertionError
