"""The model of the paper's tasks: from a sequence of bit vectors to the logits of another."""

from collections.abc import Sequence

import keras
from keras import ops

from common.layers import SequenceLayer


@keras.saving.register_keras_serializable(package="papers")
class Transducer(keras.Model):
    """Layers one after another, the last of which emits a logit for every bit of every step.

    Args:
        stack: Layers, `SequenceLayer`s or such as `keras.layers.Dense` that act on each step
            alone: `[NTM(8)]`, or `[LSTM(256), LSTM(256), keras.layers.Dense(8)]`.
        **kwargs: Arguments of `keras.Model`.

    Call arguments:
        inputs: Tensor of shape `(B, T, D)`.
        initial_state: List with a state for every `SequenceLayer`, as `return_state` gave it.
        mask: Boolean tensor of shape `(B, T)`; false at padded steps.
        training: Whether dropout acts.
        return_state: Whether to return the list of final states too.

    Returns:
        Logits of shape `(B, T, bits)`; with `return_state`, the pair `(logits, states)`.

    Raises:
        ValueError: if the stack is empty, or `initial_state` has the wrong length.
    """

    def __init__(self, stack: Sequence[keras.layers.Layer], **kwargs):
        super().__init__(**kwargs)
        if not stack:
            raise ValueError(f"Transducer: `stack` must hold at least one layer; got {stack!r}.")
        self.stack = list(stack)

    def build(self, input_shape):
        for layer in self.stack:
            if not layer.built:
                layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)
        self.built = True

    def call(self, inputs, initial_state=None, mask=None, training=None, return_state=False):
        count = sum(isinstance(layer, SequenceLayer) for layer in self.stack)
        if initial_state is not None and len(initial_state) != count:
            raise ValueError(
                f"Transducer: `initial_state` must hold {count} states, one for every "
                f"SequenceLayer; got {len(initial_state)}."
            )
        given = iter(initial_state or [None] * count)
        x, states = inputs, []
        for layer in self.stack:
            if isinstance(layer, SequenceLayer):
                x, state = layer(
                    x,
                    initial_state=next(given),
                    mask=mask,
                    training=training,
                    return_state=True,
                )
                states.append(state)
            else:
                x = layer(x)
        return (x, states) if return_state else x

    def get_config(self):
        stack = [keras.saving.serialize_keras_object(layer) for layer in self.stack]
        return {**super().get_config(), "stack": stack}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        stack = [keras.saving.deserialize_keras_object(layer) for layer in config.pop("stack")]
        return cls(stack, **config)


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
