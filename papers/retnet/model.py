"""The retentive network (Sun et al., 2023, section 2.3)."""

from typing import Any

import keras

from common.checks import check_integers, check_positive, given
from common.models import MLP, LanguageModel
from papers.retnet.layers import Retention

# The language models of table 2, with heads of 256 keys. The paper does not say how large its
# vocabulary is; this is GPT-2's, rounded up to a multiple of 64.
SIZES: dict[str, dict[str, Any]] = {
    "1.3B": {"vocabulary_size": 50304, "units": 2048, "num_layers": 24, "num_heads": 8},
    "2.7B": {"vocabulary_size": 50304, "units": 2560, "num_layers": 32, "num_heads": 10},
    "6.7B": {"vocabulary_size": 50304, "units": 4096, "num_layers": 32, "num_heads": 16},
}


@keras.saving.register_keras_serializable(package="papers")
class RetNet(LanguageModel):
    """Embedding, blocks `x + retention(norm(x))` and `x + mlp(norm(x))`, a norm, logits (eq. 9).

    The MLPs are `W_2 gelu(W_1 x)` of width 2 D inside, so that a block has 12 D^2 parameters,
    as many as a transformer's (section 3.1). The norms are layer norms.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        num_layers: Number of blocks.
        num_heads: Heads of every `Retention`.
        hidden_units: Width inside the MLPs, 2 D by default; 0 is no MLPs.
        tie_embeddings: Whether the logits' kernel is the embedding's.
        form: Form of the retention layers.
        dtype: Of the model and of all its layers.
        **kwargs: Arguments of `common.models.LanguageModel`.

    Call arguments and results are those of `common.models.LanguageModel`.

    Raises:
        ValueError: as `Retention` and `LanguageModel` do.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        num_layers: int,
        num_heads: int,
        hidden_units: int | None = None,
        tie_embeddings: bool = True,
        form: str = "auto",
        dtype=None,
        **kwargs,
    ):
        check_positive(self, units=units, num_layers=num_layers)
        check_integers(self, 0, **given(hidden_units=hidden_units))
        if hidden_units is None:
            hidden_units = 2 * units
        kwargs.setdefault("norm", "layer")
        super().__init__(
            vocabulary_size,
            units,
            [Retention(units, num_heads, form=form, dtype=dtype) for _ in range(num_layers)],
            [
                MLP(hidden_units, "gelu", use_bias=False, dtype=dtype) if hidden_units else None
                for _ in range(num_layers)
            ],
            tie_embeddings=tie_embeddings,
            dtype=dtype,
            **kwargs,
        )
