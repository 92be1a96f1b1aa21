"""The stack of the paper's selective copying experiment."""

from typing import Any

import keras
from keras import layers

from common.checks import check_choice, check_positive
from common.models import CausalLM
from common.ops.operands import check_below
from papers.min_rnn.layers import MinGRU, MinLSTM

CELLS = {"mingru": MinGRU, "minlstm": MinLSTM}


@keras.saving.register_keras_serializable(package="papers")
class MinRNN(CausalLM):
    """Embedding, blocks `x + W rnn(norm(x))`, a norm and logits.

    As the authors' configuration for selective copying: no convolution and no network between
    the recurrent layers, a learned initial state, forget biases of 3.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        num_layers: Number of blocks.
        cell: `"mingru"` or `"minlstm"`.
        expansion: State width over D.
        form: Form of the recurrent layers.
        dtype: Of the model and of all its layers.
        **kwargs: Arguments of `keras.Model`.

    Call arguments and results are those of `common.models.CausalLM`: integers `(B, T)` to
    logits `(B, T, vocabulary_size)`, float32. State: `{"block_0": ...}`, the recurrent layers'.

    Raises:
        ValueError: if `cell` is unknown or a size is not positive; in a call outside traced
            programs, if a symbol is not one of `vocabulary_size`.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        num_layers: int,
        cell: str = "mingru",
        expansion: int = 6,
        form: str = "auto",
        dtype=None,
        **kwargs,
    ):
        super().__init__(dtype=dtype, **kwargs)
        check_choice(self, tuple(CELLS), cell=cell)
        check_positive(
            self,
            vocabulary_size=vocabulary_size,
            units=units,
            num_layers=num_layers,
            expansion=expansion,
        )
        self.vocabulary_size = vocabulary_size
        self.units = units
        options: dict[str, Any] = {"dtype": self.dtype_policy}
        biases = {"forget_bias": 3.0} if cell == "minlstm" else {}
        self.embedding = layers.Embedding(
            vocabulary_size,
            units,
            embeddings_initializer=keras.initializers.RandomNormal(0, 1),
            **options,
        )
        self.norms = [layers.RMSNormalization(**options) for _ in range(num_layers + 1)]
        self.mixers = [
            CELLS[cell](
                expansion * units, learned_initial_state=True, form=form, **biases, **options
            )
            for _ in range(num_layers)
        ]
        self.projections = [layers.Dense(units, **options) for _ in range(num_layers)]
        # Logits and their loss stay float32 under mixed policies.
        dtype = "float64" if self.variable_dtype == "float64" else "float32"
        self.head = layers.Dense(vocabulary_size, use_bias=False, dtype=dtype)

    @property
    def state_layers(self) -> dict[str, Any]:
        return {f"block_{i}": mixer for i, mixer in enumerate(self.mixers)}

    def build(self, input_shape):
        super().build(input_shape)
        stream = (None, None, self.units)
        self.embedding.build((None, None))
        for mixer, projection in zip(self.mixers, self.projections, strict=True):
            mixer.build(stream)
            projection.build((None, None, mixer.units))
        for norm in self.norms:
            norm.build(stream)
        self.head.build(stream)

    def compute(self, inputs, through):
        check_below(self, "inputs", inputs, self.vocabulary_size, "the symbols")
        hidden = self.embedding(inputs)
        *norms, last = self.norms
        for i, (norm, mixer, projection) in enumerate(
            zip(norms, self.mixers, self.projections, strict=True)
        ):
            hidden = hidden + projection(through.mix(f"block_{i}", mixer, norm(hidden)))
        return self.head(last(hidden))
