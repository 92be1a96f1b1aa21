"""Parameters of the published models, and the model that learns regular languages."""

import keras
from keras import layers, ops

from common.checks import check_positive
from common.models import count_parameters
from common.models.causal_lm import CausalLM
from common.models.sequence_model import Pass
from common.ops.operands import check_below
from common.reproduce import Run
from common.typing import Nest, Shape, Tensor
from papers.rwkv7.model import RWKV7LM, SIZES, Values, build_layers, time_mixings


def parameters(run: Run, *, size: str) -> dict[str, float]:
    """Parameters of a World model (section 6)."""
    return {"parameters": float(count_parameters(lambda: RWKV7LM(**SIZES[size])))}


@keras.saving.register_keras_serializable(package="papers")
class RWKV7Blocks(CausalLM):
    """`StackedBlocks` of `papers.structured_linear_cde` with RWKV-7, whose values go beside it.

    A block, of the stream x, is `y = x + RWKV7(x)`, `x = dropout(norm(y + glu(W y + b)))`, as in
    the code of Walker et al. (2025), models/fla.py: the first block's values go to the later ones.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        num_layers: Number of blocks.
        num_heads: Heads of every `RWKV7`.
        dropout: Rate after every block.
        chunk_size: Of `RWKV7`.
        **kwargs: Arguments of `keras.Model`.

    Call arguments and results are those of `papers.rwkv7.RWKV7LM`.

    Raises:
        ValueError: if a size is not a positive integer, and as `RWKV7` does.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        num_layers: int,
        num_heads: int,
        dropout: float = 0.01,
        chunk_size: int = 64,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(self, vocabulary_size=vocabulary_size, units=units, num_layers=num_layers)
        shared = {"dtype": self.dtype_policy}
        self.vocabulary_size = vocabulary_size
        self.embedding = layers.Embedding(
            vocabulary_size, units, keras.initializers.RandomNormal(0, 1), **shared
        )
        self.mixers = time_mixings(units, num_layers, num_heads, chunk_size=chunk_size, **shared)
        self.networks = [layers.Dense(2 * units, **shared) for _ in self.mixers]
        self.norms = [layers.LayerNormalization(epsilon=1e-5, **shared) for _ in self.mixers]
        self.drop = layers.Dropout(dropout, **shared)
        wide = "float64" if self.variable_dtype == "float64" else "float32"
        self.head = layers.Dense(vocabulary_size, dtype=wide)

    @property
    def state_layers(self) -> dict:
        return {f"block_{i}": mixer for i, mixer in enumerate(self.mixers)}

    def build(self, input_shape: Shape | dict[str, Shape]) -> None:
        super().build(input_shape)
        self.embedding.build((None, None))
        others = (*self.networks, *self.norms, self.head)
        build_layers(self.mixers[0].units, self.mixers, others)

    def compute(self, inputs: Nest, through: Pass) -> Tensor:
        at = None
        if isinstance(inputs, dict):
            inputs, at = inputs["inputs"], inputs["at"]
        check_below(self, "inputs", inputs, self.vocabulary_size, "the symbols")
        hidden, values = self.embedding(inputs), Values()
        for i, mixer in enumerate(self.mixers):
            hidden = hidden + values.mix(through, f"block_{i}", mixer, hidden)
            hidden = hidden + ops.glu(self.networks[i](hidden), axis=-1)
            hidden = self.drop(self.norms[i](hidden), training=through.training)
        if at is not None:
            hidden = ops.take_along_axis(hidden, at[..., None], axis=1)
        return self.head(hidden)
