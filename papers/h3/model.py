"""The paper's language model, at the size of its synthetic languages."""

import math

import keras

from common.checks import check_choice, check_positive, check_rates
from common.layers import SoftmaxAttention
from common.models import MLP, LanguageModel, init_normal
from papers.h3.layers import DISCRETISATIONS, H3, S4D

MIXERS = ("h3", "s4d", "attention")
STDDEV = 0.02


@keras.saving.register_keras_serializable(package="papers")
class H3Model(LanguageModel):
    """Blocks of H3, or of what it is compared with, and an MLP each (section 3.1).

    As the authors' configuration for the synthetic languages: layer norms before both, an MLP four
    times as wide, GPT-2's initialisation, logits by the embedding, and dropout after the embedding
    and of the attention's weights only. Attention has one head and learned positions; S4D is
    S4D-Inv, its poles shared.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        num_layers: Number of blocks.
        mixer: `"h3"`, `"s4d"` or `"attention"`.
        state_dim: State size N of H3 and S4D.
        head_dim: Size of H3's heads.
        discretisation: Of H3's systems.
        window: How many steps attention can look back, and how many positions it knows.
        embedding_dropout: Rate after the embedding.
        attention_dropout: Rate of the attention's weights.
        dtype: Of the model and of all its layers.
        **kwargs: Arguments of `common.models.LanguageModel`.

    Call arguments and results are those of `common.models.LanguageModel`.

    Weights named in `no_decay`, the poles, steps and inputs of the systems, are not to decay:
    `optimizer.exclude_from_weight_decay(var_names=H3Model.no_decay)`.

    Raises:
        ValueError: if `mixer` is unknown, or a size is not positive.
    """

    # Those of S4D are among them; attention has none.
    no_decay = H3.no_decay

    def __init__(
        self,
        vocabulary_size: int,
        units: int = 32,
        num_layers: int = 2,
        mixer: str = "h3",
        state_dim: int = 64,
        head_dim: int = 1,
        discretisation: str = "bilinear",
        window: int = 32,
        embedding_dropout: float = 0.1,
        attention_dropout: float = 0.1,
        dtype=None,
        **kwargs,
    ):
        check_positive(self, units=units, num_layers=num_layers, window=window)
        check_positive(self, state_dim=state_dim, head_dim=head_dim)
        check_choice(self, DISCRETISATIONS, discretisation=discretisation)
        check_rates(self, embedding_dropout=embedding_dropout, attention_dropout=attention_dropout)
        check_choice(self, MIXERS, mixer=mixer)

        def make():
            if mixer == "h3":
                return H3(units, state_dim, head_dim, discretisation=discretisation, dtype=dtype)
            if mixer == "s4d":
                return S4D(units, state_dim, "inverse", shared_poles=True, dtype=dtype)
            return SoftmaxAttention(
                units, 1, window, dropout=attention_dropout, use_bias=True, dtype=dtype
            )

        super().__init__(
            vocabulary_size,
            units,
            [make() for _ in range(num_layers)],
            [MLP(4 * units, dtype=dtype) for _ in range(num_layers)],
            norm="layer",
            tie_embeddings=True,
            max_positions=window if mixer == "attention" else 0,
            embedding_dropout=embedding_dropout,
            dtype=dtype,
            **kwargs,
        )
        self.num_layers = num_layers

    def build(self, input_shape):
        super().build(input_shape)
        # As GPT-2: normal, and narrower for what is added to the stream.
        narrow = STDDEV / math.sqrt(2 * self.num_layers)
        stddevs = [(self.positions.embeddings, STDDEV)] if self.counts else []
        for mixer, mlp in zip(self.mixers, self.mlps, strict=True):
            assert mlp is not None
            stddevs += [(mixer.kernel, STDDEV), (mlp.expand.kernel, STDDEV)]
            stddevs += [(mlp.contract.kernel, narrow)]
            if isinstance(mixer, H3):
                stddevs += [(mixer.output_kernel, STDDEV)]
            elif isinstance(mixer, SoftmaxAttention):
                stddevs += [(mixer.output_kernel, narrow)]
        for weight, stddev in stddevs:
            init_normal(weight, stddev)
