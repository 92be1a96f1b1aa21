"""The GLA transformer (Yang et al., 2023, section 4.4)."""

from typing import Any

import keras

from common.checks import check_integers, check_positive, given
from common.models import GatedMLP, LanguageModel
from papers.gla.layers import GatedLinearAttention

# The language models of section 5, with the Mistral tokeniser's vocabulary and the sizes of the
# authors' code. They have the parameters that the paper names where embedding and logits share one
# kernel.
SIZES: dict[str, dict[str, Any]] = {
    "340M": {"vocabulary_size": 32000, "units": 1024, "num_layers": 24, "tie_embeddings": True},
    "1.3B": {"vocabulary_size": 32000, "units": 2048, "num_layers": 24, "tie_embeddings": True},
}


@keras.saving.register_keras_serializable(package="papers")
class GLA(LanguageModel):
    """Embedding, blocks `x + gla(norm(x))` and `x + mlp(norm(x))`, a norm, logits.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        num_layers: Number of blocks.
        num_heads: Heads of every `GatedLinearAttention`.
        hidden_units: Width inside the SwiGLU MLPs; by default 8/3 D rounded up to a multiple of
            256, as in the authors' code. 0 is no MLPs.
        tie_embeddings: Whether the logits' kernel is the embedding's.
        form: Form of the attention layers.
        dtype: Of the model and of all its layers.
        **kwargs: Arguments of `common.models.LanguageModel`.

    Call arguments and results are those of `common.models.LanguageModel`.

    Raises:
        ValueError: as `GatedLinearAttention` and `LanguageModel` do.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        num_layers: int,
        num_heads: int = 4,
        hidden_units: int | None = None,
        tie_embeddings: bool = False,
        form: str = "auto",
        dtype=None,
        **kwargs,
    ):
        check_positive(self, units=units, num_layers=num_layers)
        check_integers(self, 0, **given(hidden_units=hidden_units))
        if hidden_units is None:
            hidden_units = -(-(8 * units // 3) // 256) * 256
        super().__init__(
            vocabulary_size,
            units,
            [
                GatedLinearAttention(units, num_heads, form=form, dtype=dtype)
                for _ in range(num_layers)
            ],
            [
                GatedMLP(hidden_units, dtype=dtype) if hidden_units else None
                for _ in range(num_layers)
            ],
            tie_embeddings=tie_embeddings,
            dtype=dtype,
            **kwargs,
        )
