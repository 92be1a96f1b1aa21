"""The Mamba-2 language model (Dao and Gu, 2024)."""

from typing import Any

import keras

from common.checks import check_positive
from common.models import LanguageModel
from papers.mamba2.layers import Mamba2

# The models of table 1, with the sizes of the authors' released configurations: heads of 64,
# states of 128, and the GPT-NeoX vocabulary filled up to a multiple of 16.
_SHARED = {"vocabulary_size": 50288, "state_dim": 128, "head_dim": 64}
SIZES: dict[str, dict[str, Any]] = {
    "130M": {**_SHARED, "units": 768, "num_layers": 24},
    "370M": {**_SHARED, "units": 1024, "num_layers": 48},
    "780M": {**_SHARED, "units": 1536, "num_layers": 48},
    "1.3B": {**_SHARED, "units": 2048, "num_layers": 48},
    "2.7B": {**_SHARED, "units": 2560, "num_layers": 64},
}


@keras.saving.register_keras_serializable(package="papers")
class Mamba2LM(LanguageModel):
    """Embedding, blocks `x + mamba2(norm(x))`, a norm, logits.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        num_layers: Number of blocks.
        state_dim: As for `Mamba2`, and so are `head_dim`, `kernel_size`, `expansion`
            and `num_groups`.
        head_dim: See `state_dim`.
        kernel_size: See `state_dim`.
        expansion: See `state_dim`.
        num_groups: See `state_dim`.
        tie_embeddings: Whether the logits' kernel is the embedding's, as in the authors' code.
        form: Form of the Mamba-2 layers.
        dtype: Of the model and of all its layers.
        epsilon: Of all norms.
        use_bias: As for `Mamba2`, and so is `use_conv_bias`.
        use_conv_bias: See `use_bias`.
        **kwargs: Arguments of `common.models.LanguageModel`.

    Call arguments and results are those of `common.models.LanguageModel`.

    Raises:
        ValueError: as `Mamba2` and `LanguageModel` do.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        num_layers: int,
        state_dim: int = 128,
        head_dim: int = 64,
        kernel_size: int = 4,
        expansion: int = 2,
        num_groups: int = 1,
        tie_embeddings: bool = True,
        form: str = "auto",
        dtype=None,
        epsilon: float = 1e-5,
        use_bias: bool = False,
        use_conv_bias: bool = True,
        **kwargs,
    ):
        options: dict[str, Any] = {
            "state_dim": state_dim,
            "head_dim": head_dim,
            "kernel_size": kernel_size,
            "expansion": expansion,
            "num_groups": num_groups,
            "epsilon": epsilon,
            "use_bias": use_bias,
            "use_conv_bias": use_conv_bias,
        }
        check_positive(self, num_layers=num_layers)
        mixers = [
            Mamba2(units, **options, num_layers=num_layers, form=form, dtype=dtype)
            for _ in range(num_layers)
        ]
        super().__init__(
            vocabulary_size,
            units,
            mixers,
            tie_embeddings=tie_embeddings,
            epsilon=epsilon,
            dtype=dtype,
            **kwargs,
        )
