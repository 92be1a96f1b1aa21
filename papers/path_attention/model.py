"""The transformer around PaTH, FoX, both, or rotary positions."""

from typing import Any

import keras

from common.checks import check_choice, check_integers, check_positive, given
from common.layers import SequenceLayer, SoftmaxAttention
from common.models import GatedMLP, LanguageModel
from papers.path_attention.layers import ForgettingAttention, PaTHAttention

ATTENTIONS = ("path", "path-fox", "fox", "rotary")


@keras.saving.register_keras_serializable(package="papers")
class PaTH(LanguageModel):
    """Embedding, blocks `x + attention(norm(x))` and `x + mlp(norm(x))`, a norm, logits.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        num_layers: Number of blocks.
        num_heads: Heads of every attention.
        window: How many steps a query sees, its own included.
        attention: `"path"`, `"path-fox"`, `"fox"`, or `"rotary"`, what they are compared with.
        hidden_units: Width inside the gated MLPs; by default 8/3 D rounded up to a multiple of 256,
            as in the authors' code. 0 is no MLPs.
        chunk_size: Of the attentions but the rotary one.
        form: Of the attentions; `"chunkwise"` is none of the rotary one's.
        dtype: Of the model and of all its layers.
        **kwargs: Arguments of `common.models.LanguageModel`.

    Call arguments and results are those of `common.models.LanguageModel`.

    Raises:
        ValueError: if `attention` is none of these, and as the attentions and `LanguageModel` do.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        num_layers: int,
        num_heads: int,
        window: int,
        attention: str = "path",
        hidden_units: int | None = None,
        chunk_size: int = 64,
        form: str = "auto",
        dtype=None,
        **kwargs,
    ):
        check_positive(self, units=units, num_layers=num_layers)
        check_choice(self, ATTENTIONS, attention=attention)
        check_integers(self, 0, **given(hidden_units=hidden_units))
        if hidden_units is None:
            hidden_units = -(-(8 * units // 3) // 256) * 256
        shared: dict[str, Any] = {"form": form, "dtype": dtype}

        def mixer() -> SequenceLayer:
            if attention == "rotary":
                return SoftmaxAttention(units, num_heads, window, rotary=True, **shared)
            if attention == "fox":
                return ForgettingAttention(units, num_heads, window, chunk_size, **shared)
            gate = attention == "path-fox"
            return PaTHAttention(units, num_heads, window, gate, chunk_size=chunk_size, **shared)

        super().__init__(
            vocabulary_size,
            units,
            [mixer() for _ in range(num_layers)],
            [
                GatedMLP(hidden_units, dtype=dtype) if hidden_units else None
                for _ in range(num_layers)
            ],
            epsilon=1e-6,
            dtype=dtype,
            **kwargs,
        )
