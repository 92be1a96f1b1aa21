"""The model of the paper's tasks: from a sequence of bit vectors to the logits of another."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from common.checks import check_members
from common.layers import SequenceLayer
from common.models import SequenceModel


@keras.saving.register_keras_serializable(package="papers")
class Transducer(SequenceModel):
    """Layers one after another, the last of which emits a logit for every bit of every step.

    Args:
        stack: Layers, `SequenceLayer`s or such as `keras.layers.Dense` that act on each step
            alone: `[NTM(8)]`, or `[LSTM(256), LSTM(256), keras.layers.Dense(8)]`. They keep the
            dtype that they were made with.
        **kwargs: Arguments of `keras.Model`.

    Call arguments and results are those of `common.models.SequenceModel`: `(B, T, D)` to logits
    `(B, T, bits)`. State: `{"layer_0": ...}`, with a state for every `SequenceLayer` of the stack.

    Raises:
        ValueError: if the stack is empty.
    """

    def __init__(self, stack: Sequence[keras.layers.Layer], **kwargs):
        super().__init__(**kwargs)
        check_members(self, (keras.layers.Layer,), stack=stack)
        self.stack = list(stack)

    @property
    def state_layers(self) -> dict[str, Any]:
        return {
            f"layer_{i}": layer
            for i, layer in enumerate(self.stack)
            if isinstance(layer, SequenceLayer)
        }

    def build(self, input_shape):
        super().build(input_shape)
        for layer in self.stack:
            if not layer.built:  # a deserialised layer is
                layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def compute(self, inputs, through):
        hidden = through.without_padding(inputs)
        for i, layer in enumerate(self.stack):
            if isinstance(layer, SequenceLayer):
                hidden = through.mix(f"layer_{i}", layer, hidden)
            else:
                hidden = layer(hidden)
        return hidden


@keras.saving.register_keras_serializable(package="papers")
class BitsCrossEntropy(keras.losses.Loss):
    """Cross-entropy of independent bits in nats, summed over bits and steps, mean over sequences.

    Targets and logits are `(B, T, bits)`; a `sample_weight` of `(B, T)` says which steps count.
    """

    def __init__(self, name: str = "bits_cross_entropy"):
        super().__init__(name=name, reduction="sum")

    def call(self, y_true, y_pred):
        y_true = ops.cast(y_true, y_pred.dtype)
        # -log p of a bit y with logit x is softplus(x) - x y.
        nats = ops.sum(ops.softplus(y_pred) - y_pred * y_true, axis=-1)
        return nats / ops.cast(ops.shape(y_pred)[0], nats.dtype)

    def get_config(self):
        return {"name": self.name}
