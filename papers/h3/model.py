"""The paper's language model, at the size of its synthetic languages."""

import math

import keras
from keras import layers, ops

from common.layers import SoftmaxAttention
from common.models import MLP, LanguageModel, draw_normal
from papers.h3.layers import H3, S4D

MIXERS = ("h3", "s4d", "attention")
DEVIATION = 0.02


@keras.saving.register_keras_serializable(package="papers")
class H3Model(LanguageModel):
    """Blocks of H3, or of what it is compared with, and an MLP each (section 3.1).

    As the authors' configuration for the synthetic languages: layer norms before both, an MLP four
    times as wide, GPT-2's initialisation, logits by the embedding, and dropout after the embedding
    and of the attention's weights only. Attention has one head and learned positions; S4D is
    S4D-Inv, its poles shared.

    Args:
        vocabulary: Number of symbols.
        units: Width D of the stream.
        num_layers: Number of blocks.
        mixer: `"h3"`, `"s4d"` or `"attention"`.
        state_dim: State size N of H3 and S4D.
        head_dim: Size of H3's heads.
        discretisation: Of H3's systems.
        window: How many steps attention can look back, and how many positions it knows.
        embedding_dropout: Rate after the embedding.
        attention_dropout: Rate of the attention's weights.
        **kwargs: Arguments of `keras.Model`.

    Call arguments and results are those of `LanguageModel`, for integers `(B, T)`.

    Raises:
        ValueError: if `mixer` is unknown, or a size is not positive.
    """

    def __init__(
        self,
        vocabulary: int,
        units: int = 32,
        num_layers: int = 2,
        mixer: str = "h3",
        state_dim: int = 64,
        head_dim: int = 1,
        discretisation: str = "bilinear",
        window: int = 32,
        embedding_dropout: float = 0.1,
        attention_dropout: float = 0.1,
        **kwargs,
    ):
        if mixer not in MIXERS:
            raise ValueError(f"H3Model: `mixer` must be one of {MIXERS}; got {mixer!r}.")

        def make():
            if mixer == "h3":
                return H3(units, state_dim, head_dim, discretisation=discretisation)
            if mixer == "s4d":
                return S4D(units, state_dim, "inverse", shared_poles=True)
            return SoftmaxAttention(units, 1, window, dropout=attention_dropout, use_bias=True)

        super().__init__(
            vocabulary,
            units,
            [make() for _ in range(num_layers)],
            [MLP(4 * units) for _ in range(num_layers)],
            norm="layer",
            tied=True,
            max_positions=window if mixer == "attention" else 0,
            **kwargs,
        )
        self.num_layers = num_layers
        self.mixer = mixer
        self.state_dim = state_dim
        self.head_dim = head_dim
        self.discretisation = discretisation
        self.window = window
        self.embedding_dropout = embedding_dropout
        self.attention_dropout = attention_dropout
        self.embedding_drop = layers.Dropout(embedding_dropout)

    def build(self, input_shape):
        super().build(input_shape)
        # As GPT-2: normal, and narrower for what is added to the stream.
        narrow = DEVIATION / math.sqrt(2 * self.num_layers)
        deviations = [(self.positions.embeddings, DEVIATION)] if self.max_positions else []
        for mixer, network in zip(self.mixers, self.networks, strict=True):
            assert network is not None
            deviations += [(mixer.kernel, DEVIATION), (network.expand.kernel, DEVIATION)]
            deviations += [(network.contract.kernel, narrow)]
            if isinstance(mixer, H3):
                deviations += [(mixer.output_kernel, DEVIATION)]
            elif isinstance(mixer, SoftmaxAttention):
                deviations += [(mixer.output_kernel, narrow)]
        for weight, deviation in deviations:
            draw_normal(weight, deviation)

    @property
    def undecayed_weights(self) -> list:
        """What the authors leave out of weight decay: poles and steps of the systems."""
        return [
            weight
            for mixer in self.mixers
            if not isinstance(mixer, SoftmaxAttention)
            for weight in mixer.undecayed_weights
        ]

    def call(
        self,
        inputs,
        initial_state=None,
        mask=None,
        reset=None,
        training=None,
        return_state=False,
    ):
        # Without a state the mixers get none either: they then skip what a state contributes.
        state = {} if initial_state is None else initial_state
        hidden = self.embedding(inputs)
        new_state = {}
        if self.max_positions:
            length = ops.shape(inputs)[1]
            position = state["position"] if state else ops.zeros((), "int32")
            hidden = hidden + self.positions(position + ops.arange(length))
            new_state["position"] = position + length
        hidden = self.embedding_drop(hidden, training=training)
        for i, mixer in enumerate(self.mixers):
            mixed, new_state[f"block_{i}"] = mixer(
                self.mixer_norms[i](hidden),
                initial_state=state.get(f"block_{i}"),
                mask=mask,
                reset=reset,
                training=training,
                return_state=True,
            )
            hidden = self._add_network(i, hidden + mixed, training)
        logits = self._logits(hidden)
        return (logits, new_state) if return_state else logits

    def get_config(self):
        # `LanguageModel` hands over the layers that are made here.
        return {
            **keras.Model.get_config(self),
            "vocabulary": self.vocabulary,
            "units": self.units,
            "num_layers": self.num_layers,
            "mixer": self.mixer,
            "state_dim": self.state_dim,
            "head_dim": self.head_dim,
            "discretisation": self.discretisation,
            "window": self.window,
            "embedding_dropout": self.embedding_dropout,
            "attention_dropout": self.attention_dropout,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)
