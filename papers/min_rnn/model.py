"""The stack of the paper's selective copying experiment."""

import keras
from keras import layers

from papers.min_rnn.layers import MinGRU, MinLSTM

CELLS = {"mingru": MinGRU, "minlstm": MinLSTM}


@keras.saving.register_keras_serializable(package="papers")
class MinRNN(keras.Model):
    """Embedding, blocks `x + W rnn(norm(x))`, a norm and logits.

    As the authors' configuration for selective copying: no convolution and no network between
    the recurrent layers, a learned initial state, forget biases of 3.

    Args:
        vocabulary: Number of symbols.
        units: Width D of the stream.
        num_layers: Number of blocks.
        cell: `"mingru"` or `"minlstm"`.
        expansion: State width over D.
        form: Form of the recurrent layers.
        **kwargs: Arguments of `keras.Model`.

    Call arguments:
        inputs: Integer tensor `(B, T)`.

    Returns:
        Logits `(B, T, vocabulary)`, float32.

    Raises:
        ValueError: if `cell` is unknown or a size is not positive.
    """

    def __init__(
        self,
        vocabulary: int,
        units: int,
        num_layers: int,
        cell: str = "mingru",
        expansion: int = 6,
        form: str = "auto",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if cell not in CELLS:
            raise ValueError(f"MinRNN: `cell` must be one of {tuple(CELLS)}; got {cell!r}.")
        if num_layers < 1:
            raise ValueError(f"MinRNN: `num_layers` must be positive; got {num_layers!r}.")
        self.vocabulary = vocabulary
        self.units = units
        self.num_layers = num_layers
        self.cell = cell
        self.expansion = expansion
        self.form = form
        options = {"forget_bias": 3.0} if cell == "minlstm" else {}
        self.embedding = layers.Embedding(
            vocabulary, units, embeddings_initializer=keras.initializers.RandomNormal(0, 1)
        )
        self.norms = [layers.RMSNormalization() for _ in range(num_layers + 1)]
        self.mixers = [
            CELLS[cell](expansion * units, learned_initial_state=True, form=form, **options)
            for _ in range(num_layers)
        ]
        self.projections = [layers.Dense(units) for _ in range(num_layers)]
        self.head = layers.Dense(vocabulary, use_bias=False, dtype="float32")

    def build(self, input_shape):
        stream = (*input_shape, self.units)
        self.embedding.build(input_shape)
        for mixer, projection in zip(self.mixers, self.projections, strict=True):
            mixer.build(stream)
            projection.build((*input_shape, mixer.units))
        for norm in self.norms:
            norm.build(stream)
        self.head.build(stream)

    def call(self, inputs, mask=None, training=None):
        x = self.embedding(inputs)
        *norms, last = self.norms
        for norm, mixer, projection in zip(norms, self.mixers, self.projections, strict=True):
            x = x + projection(mixer(norm(x), mask=mask, training=training))
        return self.head(last(x))

    def get_config(self):
        return {
            **super().get_config(),
            "vocabulary": self.vocabulary,
            "units": self.units,
            "num_layers": self.num_layers,
            "cell": self.cell,
            "expansion": self.expansion,
            "form": self.form,
        }
