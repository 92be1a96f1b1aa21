"""A stack of recurrent layers with a dense layer on top: every network of the paper."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from common.checks import check_flags, check_members, check_positive
from common.layers import SequenceLayer
from common.models import SequenceModel, activation_of


@keras.saving.register_keras_serializable(package="papers")
class LMUModel(SequenceModel):
    """Recurrent layers one on the other, then a dense layer, at every step or at the last.

    Args:
        recurrent: The sequence layers, from the input up; LMUs, LSTMs or any others. They keep the
            dtype that they were made with, and the outputs are float32, or float64 if they are.
        output_dim: Width of the output.
        output_activation: Of the dense layer.
        return_sequences: Whether there is an output at every step, or for the last one only.
        dtype: Of the model.
        **kwargs: Arguments of `keras.Model`.

    Call arguments and results are those of `common.models.SequenceModel`: `(B, T, D)` to
    `(B, T, output_dim)`, or to the `(B, output_dim)` of the last step that is not padding. State:
    `{"layer_0": ...}`, the recurrent layers'.

    Raises:
        ValueError: if there is no recurrent layer, or an argument is of the wrong type.
    """

    def __init__(
        self,
        recurrent: Sequence[SequenceLayer],
        output_dim: int,
        output_activation: str | None = None,
        return_sequences: bool = True,
        dtype=None,
        **kwargs,
    ):
        super().__init__(dtype=dtype, **kwargs)
        check_members(self, (SequenceLayer,), recurrent=recurrent)
        check_positive(self, output_dim=output_dim)
        check_flags(self, return_sequences=return_sequences)
        activation = None
        if output_activation is not None:
            activation = activation_of(self, "output_activation", output_activation)
        self.recurrent = list(recurrent)
        self.return_sequences = return_sequences
        # The outputs and their loss stay float32 under mixed policies.
        self.head = layers.Dense(
            output_dim, activation=activation, dtype=self.recurrent[0].state_dtype
        )

    @property
    def state_layers(self) -> dict[str, Any]:
        return {f"layer_{i}": layer for i, layer in enumerate(self.recurrent)}

    def build(self, input_shape):
        super().build(input_shape)
        for layer in self.recurrent:
            if not layer.built:  # a deserialised layer is
                layer.build(input_shape)
            input_shape = (*input_shape[:2], layer.output_dim)
        self.head.build(input_shape)

    def compute(self, inputs, through):
        hidden = inputs
        for name, layer in self.state_layers.items():
            hidden = through.mix(name, layer, hidden)
        return self.head(hidden if self.return_sequences else through.last(hidden))

    def compute_mask(self, inputs, previous_mask):
        return previous_mask if self.return_sequences else None
