"""The stack of blocks that the paper compares sequence layers in."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from common.checks import check_choice, check_members, check_positive, check_rates, refuse
from common.layers import SequenceLayer
from common.models.causal_lm import CausalLM
from common.models.sequence_model import Pass
from common.ops.operands import check_below
from common.typing import Nest, Shape, Tensor

BLOCKS = ("glu", "tanh", "plain")


@keras.saving.register_keras_serializable(package="papers")
class StackedBlocks(CausalLM):
    """Embedding, blocks of a sequence layer and a network, logits (appendix D.2).

    A block, of the stream x, is

        y = x + mixer(x)
        x = dropout(norm(y + f(W y + b)))

    with a layer norm. f is a gated linear unit, `"glu"`, as around the paper's baselines, or
    `"tanh"`, as around its own layers. `"plain"` blocks are the mixer alone, with dropout between
    them, as the paper stacks LSTMs. Embeddings are normal with a deviation of 1 as in the authors'
    code. State: `{"block_0": ..., "block_1": ...}`, the mixers'.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        mixers: One `SequenceLayer` a block, of output width D. They keep the dtype that they were
            made with.
        block: `"glu"`, `"tanh"` or `"plain"`.
        dropout: Rate after every block, or between plain ones.
        dtype: Of the model and of all layers that it makes.
        **kwargs: Arguments of `keras.Model`.

    Call arguments:
        inputs: Integers `(B, T)`, or `{"inputs": (B, T), "at": (B, Q)}` to have logits at the
            steps `at` only.
        initial_state: State of `get_initial_state` or an earlier call.
        mask: `(B, T)` bool; false where a step is padding.
        reset: `(B, T)` bool; true at the first step of a document.
        training: Whether dropout acts.
        return_state: Whether to return the final state too.

    Returns:
        Logits `(B, T, vocabulary_size)` or `(B, Q, vocabulary_size)`, float32 (float64 under
        float64); with `return_state` the pair of these and the state.

    Raises:
        ValueError: if an argument is of the wrong type or out of its range, or a mixer has another
            width or returns one step only.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        mixers: Sequence[SequenceLayer],
        block: str = "glu",
        dropout: float = 0.01,
        dtype: Any = None,
        **kwargs: Any,
    ):
        super().__init__(dtype=dtype, **kwargs)
        check_positive(self, vocabulary_size=vocabulary_size, units=units)
        check_choice(self, BLOCKS, block=block)
        check_rates(self, dropout=dropout)
        check_members(self, (SequenceLayer,), mixers=mixers)
        for i, mixer in enumerate(mixers):
            if mixer.output_dim != units:
                refuse(self, f"mixers[{i}]", f"of output width {units}", mixer.output_dim)
            if not mixer.return_sequences:
                refuse(self, f"mixers[{i}]", "a layer with `return_sequences`", mixer)
        self.vocabulary_size = vocabulary_size
        self.units = units
        self.mixers = list(mixers)
        self.block = block
        shared = {"dtype": self.dtype_policy}
        self.embedding = layers.Embedding(
            vocabulary_size, units, keras.initializers.RandomNormal(0, 1), **shared
        )
        networks = [] if block == "plain" else mixers
        width = 2 * units if block == "glu" else units
        self.networks = [layers.Dense(width, **shared) for _ in networks]
        self.norms = [layers.LayerNormalization(epsilon=1e-5, **shared) for _ in networks]
        self.drop = layers.Dropout(dropout, **shared)
        # Logits and their loss stay float32 under mixed policies.
        wide = "float64" if self.variable_dtype == "float64" else "float32"
        self.head = layers.Dense(vocabulary_size, dtype=wide)

    @property
    def state_layers(self) -> dict[str, Any]:
        return {f"block_{i}": mixer for i, mixer in enumerate(self.mixers)}

    def build(self, input_shape: Shape | dict[str, Shape]) -> None:
        super().build(input_shape)
        hidden = (None, None, self.units)
        self.embedding.build((None, None))
        for layer in (*self.mixers, *self.networks, *self.norms, self.head):
            if not layer.built:  # one that was loaded is built
                layer.build(hidden)

    def compute(self, inputs: Nest, through: Pass) -> Tensor:
        at = None
        if isinstance(inputs, dict):
            inputs, at = inputs["inputs"], inputs["at"]
        check_below(self, "inputs", inputs, self.vocabulary_size, "the symbols")
        hidden = self.embedding(inputs)
        for i, mixer in enumerate(self.mixers):
            mixed = through.mix(f"block_{i}", mixer, hidden)
            if self.block == "plain":
                last = i == len(self.mixers) - 1
                hidden = mixed if last else self.drop(mixed, training=through.training)
                continue
            hidden = hidden + mixed
            hidden = self.norms[i](hidden + self._activate(self.networks[i](hidden)))
            hidden = self.drop(hidden, training=through.training)
        if at is not None:
            hidden = ops.take_along_axis(hidden, at[..., None], axis=1)
        return self.head(hidden)

    def _activate(self, values: Tensor) -> Tensor:
        return ops.glu(values, axis=-1) if self.block == "glu" else ops.tanh(values)
