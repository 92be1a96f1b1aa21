"""The transformer of the paper: one block, whose attention is linear or softmax."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from common.checks import check_choice, check_positive, refuse
from common.layers import SequenceLayer, SoftmaxAttention
from common.models import CausalLM
from common.ops.operands import check_below
from papers.linear_transformer.layers import LinearAttention

ATTENTIONS = ("linear", "softmax")


def sinusoids(length: int, width: int) -> np.ndarray:
    """Sinusoidal positions `(length, width)`, sines and cosines in turn (Vaswani et al. 2017)."""
    rates = np.exp(-np.log(1e4) * np.arange(0, width, 2) / width)
    angles = np.arange(length)[:, None] * rates
    return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(length, -1)[:, :width]


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
        # The attention's float32 state is not for Keras to cast.
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        check_positive(self, hidden_units=hidden_units)
        self.supports_masking = True
        self.attention = attention
        self.hidden_units = hidden_units
        self.attention_norm = layers.LayerNormalization(epsilon=1e-5, dtype=self.dtype_policy)
        self.expand = layers.Dense(hidden_units, activation="relu", dtype=self.dtype_policy)
        self.contract = layers.Dense(attention.output_dim, dtype=self.dtype_policy)
        self.network_norm = layers.LayerNormalization(epsilon=1e-5, dtype=self.dtype_policy)

    def build(self, input_shape):
        if not self.attention.built:  # one that was loaded is built
            self.attention.build(input_shape)
        self.attention_norm.build(input_shape)
        self.expand.build(input_shape)
        self.contract.build((*input_shape[:-1], self.hidden_units))
        self.network_norm.build(input_shape)

    def get_initial_state(self, batch_size) -> dict:
        """The attention's state before the first step."""
        return self.attention.get_initial_state(batch_size)

    def call(
        self,
        inputs,
        initial_state=None,
        mask=None,
        reset=None,
        training=None,
        return_state=False,
    ):
        mixed, state = self.attention(
            inputs,
            initial_state=initial_state,
            mask=mask,
            reset=reset,
            training=training,
            return_state=True,
        )
        outputs = self._finish(inputs, mixed)
        return (outputs, state) if return_state else outputs

    def step(self, inputs, state, training=None):
        """One step: `(B, D)` and the attention's state to `(B, D)` and a state."""
        mixed, state = self.attention.step(inputs, state, training=training)
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
        attention = keras.saving.deserialize_keras_object(config["attention"])
        return cls(**{**config, "attention": attention})


@keras.saving.register_keras_serializable(package="papers")
class LinearTransformer(CausalLM):
    """Autoregressive transformer over symbols, with linear or softmax attention.

    As in the authors' experiments, half of the first block's input is the symbol's embedding and
    half its sinusoidal position, side by side, and a last norm comes before the logits.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D, even.
        num_layers: Number of blocks.
        num_heads: Heads of each attention.
        max_length: Number of positions; also the window of softmax attention.
        attention: `"linear"` or `"softmax"`.
        hidden_units: Width of the blocks' MLPs; `4 units` by default.
        form: Form of the attention layers.
        dtype: Of the model and of all its layers.
        **kwargs: Arguments of `keras.Model`.

    Call arguments and results are those of `common.models.CausalLM`: integers `(B, T)` to
    logits `(B, T, vocabulary_size)`, float32. State: `{"block_0": ..., "position": (B,)}`, the
    attentions' and how many symbols came before.

    Raises:
        ValueError: if `attention` is unknown or a size is not positive; in a call, as far as the
            values are known, if a symbol is not one of `vocabulary_size` or a position is not below
            `max_length`.
    """

    counts = True

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        num_layers: int,
        num_heads: int,
        max_length: int,
        attention: str = "linear",
        hidden_units: int | None = None,
        form: str = "auto",
        dtype=None,
        **kwargs,
    ):
        super().__init__(dtype=dtype, **kwargs)
        check_positive(self, vocabulary_size=vocabulary_size, units=units, num_layers=num_layers)
        check_positive(self, max_length=max_length)
        check_choice(self, ATTENTIONS, attention=attention)
        if units % 2:
            refuse(self, "units", "even", units)
        self.vocabulary_size = vocabulary_size
        self.units = units
        self.max_length = self.max_positions = max_length
        options: dict[str, Any] = {"dtype": self.dtype_policy}
        self.symbols = layers.Embedding(vocabulary_size, units // 2, **options)
        self.positions = sinusoids(max_length, units // 2)

        def mix() -> SequenceLayer:
            if attention == "linear":
                return LinearAttention(units, num_heads, form=form, use_bias=True, **options)
            return SoftmaxAttention(
                units, num_heads, max_length, form=form, use_bias=True, **options
            )

        self.blocks = [
            TransformerBlock(mix(), 4 * units if hidden_units is None else hidden_units, **options)
            for _ in range(num_layers)
        ]
        self.norm = layers.LayerNormalization(epsilon=1e-5, **options)
        # Logits and their loss stay float32 under mixed policies.
        dtype = "float64" if self.variable_dtype == "float64" else "float32"
        self.head = layers.Dense(vocabulary_size, dtype=dtype)

    @property
    def state_layers(self) -> dict[str, Any]:
        return {f"block_{i}": block for i, block in enumerate(self.blocks)}

    def build(self, input_shape):
        super().build(input_shape)
        hidden = (None, None, self.units)
        self.symbols.build((None, None))
        for block in self.blocks:
            block.build(hidden)
        self.norm.build(hidden)
        self.head.build(hidden)

    def compute(self, inputs, through):
        check_below(self, "inputs", inputs, self.vocabulary_size, "the symbols")
        symbols = self.symbols(inputs)
        at = self.positions_of(inputs, through, "max_length", self.max_length)
        positions = ops.take(ops.convert_to_tensor(self.positions, symbols.dtype), at, axis=0)
        positions = ops.broadcast_to(positions, ops.shape(symbols))
        hidden = ops.concatenate([symbols, positions], axis=-1)
        for name, block in self.state_layers.items():
            hidden = through.mix(name, block, hidden)
        return self.head(self.norm(hidden))
