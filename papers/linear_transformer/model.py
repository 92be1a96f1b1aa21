"""The transformer of the paper: one block, whose attention is linear or softmax."""

import keras
import numpy as np
from keras import layers, ops

from common.layers import SequenceLayer, SoftmaxAttention
from papers.linear_transformer.layers import LinearAttention

ATTENTIONS = ("linear", "softmax")


def sinusoids(length: int, width: int) -> np.ndarray:
    """Sinusoidal positions `(length, width)`, sines and cosines in turn (Vaswani et al. 2017)."""
    rates = np.exp(-np.log(1e4) * np.arange(0, width, 2) / width)
    angles = np.arange(length)[:, None] * rates
    return (
        np.stack([np.sin(angles), np.cos(angles)], -1)
        .reshape(length, -1)[:, :width]
        .astype("float32")
    )


@keras.saving.register_keras_serializable(package="papers")
class TransformerBlock(layers.Layer):
    """Attention and a two-layer network, each with a residual connection and a norm after it.

    `y = norm(x + attention(x))`, then `norm(y + W_2 relu(W_1 y))` (eq. 1), the norms after the
    sums as in the authors' encoder layer.

    Args:
        attention: A `SequenceLayer` whose output is as wide as its input.
        hidden_units: Width of the two-layer network between its layers.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, attention: SequenceLayer, hidden_units: int, **kwargs):
        super().__init__(**kwargs)
        self.attention = attention
        self.hidden_units = hidden_units
        self.attention_norm = layers.LayerNormalization(epsilon=1e-5, dtype=self.dtype_policy)
        self.expand = layers.Dense(hidden_units, activation="relu", dtype=self.dtype_policy)
        self.contract = layers.Dense(attention.output_dim, dtype=self.dtype_policy)
        self.network_norm = layers.LayerNormalization(epsilon=1e-5, dtype=self.dtype_policy)

    def build(self, input_shape):
        self.attention.build(input_shape)
        self.attention_norm.build(input_shape)
        self.expand.build(input_shape)
        self.contract.build((*input_shape[:-1], self.hidden_units))
        self.network_norm.build(input_shape)

    def call(self, inputs, initial_state=None, training=None, return_state=False):
        mixed, state = self.attention(
            inputs, initial_state=initial_state, training=training, return_state=True
        )
        outputs = self._finish(inputs, mixed)
        return (outputs, state) if return_state else outputs

    def step(self, inputs, state):
        """One step: `(B, D)` and the attention's state to `(B, D)` and a state."""
        mixed, state = self.attention.step(inputs, state)
        return self._finish(inputs, mixed), state

    def _finish(self, inputs, mixed):
        hidden = self.attention_norm(ops.cast(inputs, self.compute_dtype) + mixed)
        return self.network_norm(hidden + self.contract(self.expand(hidden)))

    def get_config(self):
        return {
            **super().get_config(),
            "attention": keras.saving.serialize_keras_object(self.attention),
            "hidden_units": self.hidden_units,
        }

    @classmethod
    def from_config(cls, config):
        attention = keras.saving.deserialize_keras_object(config.pop("attention"))
        return cls(attention, **config)


@keras.saving.register_keras_serializable(package="papers")
class LinearTransformer(keras.Model):
    """Autoregressive transformer over symbols, with linear or softmax attention.

    As in the authors' experiments, half of the first block's input is the symbol's embedding and
    half its sinusoidal position, side by side, and a last norm comes before the logits.

    Args:
        vocabulary: Number of symbols.
        units: Width D, even.
        num_layers: Number of blocks.
        num_heads: Heads of each attention.
        max_length: Number of positions; also the window of softmax attention.
        attention: `"linear"` or `"softmax"`.
        hidden_units: Width of the blocks' networks; `4 units` by default.
        form: Form of the attention layers.
        **kwargs: Arguments of `keras.Model`.

    Call arguments:
        inputs: Integer tensor `(B, T)`, T at most `max_length`.

    Returns:
        Logits of the next symbol, `(B, T, vocabulary)`, float32.

    Raises:
        ValueError: if `attention` is unknown or a size is not positive.
    """

    def __init__(
        self,
        vocabulary: int,
        units: int,
        num_layers: int,
        num_heads: int,
        max_length: int,
        attention: str = "linear",
        hidden_units: int | None = None,
        form: str = "auto",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if attention not in ATTENTIONS:
            raise ValueError(
                f"LinearTransformer: `attention` must be one of {ATTENTIONS}; got {attention!r}."
            )
        for name, value in (("vocabulary", vocabulary), ("num_layers", num_layers)):
            if value < 1:
                raise ValueError(f"LinearTransformer: `{name}` must be positive; got {value!r}.")
        if units < 2 or units % 2:
            raise ValueError(f"LinearTransformer: `units` must be even; got {units!r}.")
        self.vocabulary = vocabulary
        self.units = units
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.max_length = max_length
        self.attention = attention
        self.hidden_units = 4 * units if hidden_units is None else hidden_units
        self.form = form
        self.symbols = layers.Embedding(vocabulary, units // 2)
        self.positions = sinusoids(max_length, units // 2)
        self.blocks = [
            TransformerBlock(self._attention(), self.hidden_units) for _ in range(num_layers)
        ]
        self.norm = layers.LayerNormalization(epsilon=1e-5)
        # Logits and their loss stay float32 under mixed policies.
        self.head = layers.Dense(vocabulary, dtype="float32")

    def _attention(self) -> SequenceLayer:
        if self.attention == "linear":
            return LinearAttention(self.units, self.num_heads, form=self.form, use_bias=True)
        return SoftmaxAttention(
            self.units, self.num_heads, self.max_length, form=self.form, use_bias=True
        )

    def build(self, input_shape):
        hidden = (*input_shape, self.units)
        self.symbols.build(input_shape)
        for block in self.blocks:
            block.build(hidden)
        self.norm.build(hidden)
        self.head.build(hidden)

    def call(self, inputs, training=None):
        hidden = self._embed(inputs, self.positions[: ops.shape(inputs)[1]])
        for block in self.blocks:
            hidden = block(hidden, training=training)
        return self.head(self.norm(hidden))

    def _embed(self, inputs, positions):
        symbols = self.symbols(inputs)
        positions = ops.cast(positions, symbols.dtype)
        return ops.concatenate([symbols, ops.broadcast_to(positions, ops.shape(symbols))], axis=-1)

    def get_initial_state(self, batch_size) -> dict:
        """The state before the first symbol: the blocks' states and the position, a scalar."""
        states = {
            f"block_{i}": block.attention.get_initial_state(batch_size)
            for i, block in enumerate(self.blocks)
        }
        return {"blocks": states, "position": ops.zeros((), "int32")}

    def step(self, inputs, state: dict):
        """Takes one symbol.

        Args:
            inputs: Integer tensor `(B,)`.
            state: As `get_initial_state` or an earlier `step` gave it.

        Returns:
            `(logits, state)`, the logits `(B, vocabulary)`.
        """
        position = ops.take(ops.convert_to_tensor(self.positions), state["position"], axis=0)
        hidden = self._embed(inputs, position)
        states = {}
        for i, block in enumerate(self.blocks):
            name = f"block_{i}"
            hidden, states[name] = block.step(hidden, state["blocks"][name])
        return self.head(self.norm(hidden)), {"blocks": states, "position": state["position"] + 1}

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary": self.vocabulary,
            "units": self.units,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "max_length": self.max_length,
            "attention": self.attention,
            "hidden_units": self.hidden_units,
            "form": self.form,
        }
