"""A stack of recurrent layers with a dense layer on top: every network of the paper."""

from collections.abc import Sequence

import keras
from keras import layers

from common.layers import SequenceLayer


@keras.saving.register_keras_serializable(package="papers")
class LMUModel(keras.Model):
    """Recurrent layers one on the other, then a dense layer, at every step or at the last.

    Args:
        recurrent: The sequence layers, from the input up; LMUs, LSTMs or any others.
        outputs: Width of the output.
        output_activation: Of the dense layer.
        return_sequences: Whether there is an output at every step, or for the last one only.
        **kwargs: Arguments of `keras.Model`.

    Call arguments:
        inputs: Tensor `(B, T, D)`.
        initial_state: Dict from `"layer_0"` and so on to the layers' states, as an earlier call
            gave it; `None` starts anew.
        mask: Boolean `(B, T)`, false at padded steps, or `None`.
        training: Whether in training mode.
        return_state: Whether to return the final state too.

    Returns:
        `(B, T, outputs)`, or `(B, outputs)`; with `return_state`, the pair of it and the state.

    Raises:
        ValueError: if there is no recurrent layer.
    """

    def __init__(
        self,
        recurrent: Sequence[SequenceLayer],
        outputs: int,
        output_activation=None,
        return_sequences: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not recurrent:
            raise ValueError("LMUModel: `recurrent` must have at least one layer; got none.")
        self.recurrent = list(recurrent)
        self.return_sequences = return_sequences
        # The outputs and their loss stay float32 under mixed policies.
        dtype = self.recurrent[0].state_dtype
        self.head = layers.Dense(outputs, activation=output_activation, dtype=dtype)

    def build(self, input_shape):
        for layer in self.recurrent:
            if not layer.built:  # a deserialised layer is
                layer.build(input_shape)
            input_shape = (*input_shape[:2], layer.output_dim)
        self.head.build(input_shape)

    def call(self, inputs, initial_state=None, mask=None, training=None, return_state=False):
        hidden, states = inputs, {}
        for i, layer in enumerate(self.recurrent):
            name = f"layer_{i}"
            hidden, states[name] = layer(
                hidden,
                initial_state=None if initial_state is None else initial_state[name],
                mask=mask,
                training=training,
                return_state=True,
            )
        outputs = self.head(hidden if self.return_sequences else hidden[:, -1])
        return (outputs, states) if return_state else outputs

    def get_initial_state(self, batch_size) -> dict:
        """The states before the first step, of a built model."""
        return {
            f"layer_{i}": layer.get_initial_state(batch_size)
            for i, layer in enumerate(self.recurrent)
        }

    def get_config(self):
        return {
            **super().get_config(),
            "recurrent": [keras.saving.serialize_keras_object(x) for x in self.recurrent],
            "outputs": self.head.units,
            "output_activation": keras.activations.serialize(self.head.activation),
            "return_sequences": self.return_sequences,
        }

    @classmethod
    def from_config(cls, config):
        recurrent = [keras.saving.deserialize_keras_object(x) for x in config.pop("recurrent")]
        return cls(recurrent, **config)
