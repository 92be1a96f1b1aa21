"""The paper's language model, and the attention that its induction heads compete with."""

from typing import Any

import keras
from keras import ops

from common.checks import check_choice, check_positive, refuse
from common.layers import SoftmaxAttention
from common.models import LanguageModel
from papers.mamba.layers import Mamba

# The models trained on the Pile (section 4.2.2), with the GPT-NeoX vocabulary filled up to a
# multiple of 8.
VOCABULARY = 50280
SIZES: dict[str, dict[str, Any]] = {
    "130M": {"units": 768, "num_layers": 24},
    "370M": {"units": 1024, "num_layers": 48},
    "790M": {"units": 1536, "num_layers": 48},
    "1.4B": {"units": 2048, "num_layers": 48},
    "2.8B": {"units": 2560, "num_layers": 64},
}


@keras.saving.register_keras_serializable(package="papers")
class MambaLM(LanguageModel):
    """Embedding, blocks `x + mamba(norm(x))`, a norm, logits (section 3.4).

    `MambaLM(VOCABULARY, **SIZES["130M"])` is the smallest of the paper's language models.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        num_layers: Number of blocks.
        state_dim: As for `Mamba`.
        kernel_size: As for `Mamba`.
        expansion: As for `Mamba`.
        tie_embeddings: Whether the logits' kernel is the embedding's, as in the authors' code.
        form: Form of the Mamba layers.
        dtype: Of the model and of all its layers.
        dt_rank: As for `Mamba`.
        use_bias: As for `Mamba`.
        use_conv_bias: As for `Mamba`.
        **kwargs: Arguments of `common.models.LanguageModel`.

    Raises:
        ValueError: if a size is not positive.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        num_layers: int,
        state_dim: int = 16,
        kernel_size: int = 4,
        expansion: int = 2,
        tie_embeddings: bool = True,
        form: str = "auto",
        dtype=None,
        dt_rank: int | str = "auto",
        use_bias: bool = False,
        use_conv_bias: bool = True,
        **kwargs,
    ):
        check_positive(self, num_layers=num_layers)
        mixers = [
            Mamba(
                units,
                state_dim,
                kernel_size,
                expansion,
                dt_rank,
                num_layers=num_layers,
                use_bias=use_bias,
                use_conv_bias=use_conv_bias,
                form=form,
                dtype=dtype,
            )
            for _ in range(num_layers)
        ]
        super().__init__(
            vocabulary_size, units, mixers, tie_embeddings=tie_embeddings, dtype=dtype, **kwargs
        )


@keras.saving.register_keras_serializable(package="papers")
class Sinusoids(keras.layers.Layer):
    """Sines and cosines of positions: integers `(...)` to `(..., units)` (Vaswani et al., 2017).

    Args:
        units: Width, even.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        check_positive(self, units=units)
        if units % 2:
            refuse(self, "units", "even", units)
        self.units = units

    def call(self, inputs):
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        rates = 1e4 ** (-ops.arange(0, self.units, 2, dtype=dtype) / self.units)
        angles = ops.cast(inputs, dtype)[..., None] * rates
        sinusoids = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
        return ops.cast(sinusoids, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


POSITIONS = ("absolute", "rotary")


@keras.saving.register_keras_serializable(package="papers")
class AttentionLM(LanguageModel):
    """Embedding, blocks `x + attention(norm(x))`, a norm, logits: MHA-Abs and MHA-RoPE of Table 11.

    With biases and layer norms and without MLPs the paper's setting, D = 128 and 2 layers,
    has the 137K parameters that the table gives.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream, even.
        num_layers: Number of blocks.
        num_heads: Heads of the attentions.
        window: Steps that an attention sees.
        positions: `"absolute"`, sinusoids added to the embedding, or `"rotary"`.
        dtype: Of the model and of all its layers.
        **kwargs: Arguments of `common.models.LanguageModel`.

    Raises:
        ValueError: if `positions` is unknown or a size is not positive.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        num_layers: int,
        num_heads: int,
        window: int,
        positions: str = "absolute",
        dtype=None,
        **kwargs,
    ):
        check_positive(self, num_layers=num_layers)
        check_choice(self, POSITIONS, positions=positions)
        rotary = positions == "rotary"
        mixers = [
            SoftmaxAttention(units, num_heads, window, rotary=rotary, use_bias=True, dtype=dtype)
            for _ in range(num_layers)
        ]
        # As large as the sinusoids.
        super().__init__(
            vocabulary_size,
            units,
            mixers,
            norm="layer",
            position_embedding=None if rotary else Sinusoids(units, dtype=dtype),
            embedding_stddev=0.5**0.5,
            dtype=dtype,
            **kwargs,
        )
