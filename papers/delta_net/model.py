"""The language model around DeltaNet layers."""

from typing import Any

import keras

from common.checks import check_integers, check_positive, given
from common.models import GatedMLP, LanguageModel
from papers.delta_net.layers import DeltaNet

# The paper's models (section 4.2), with the sizes in the authors' released configurations.
SIZES: dict[str, dict[str, Any]] = {
    "340M": {"vocabulary_size": 32000, "units": 1024, "num_layers": 24, "num_heads": 8},
    "1.3B": {"vocabulary_size": 32000, "units": 2048, "num_layers": 24, "num_heads": 16},
}


@keras.saving.register_keras_serializable(package="papers")
class DeltaNetLM(LanguageModel):
    """Embedding, blocks `x + DeltaNet(norm(x))` and `x + mlp(norm(x))`, a norm, logits (figure 2).

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        num_layers: Number of blocks.
        num_heads: Heads of every DeltaNet.
        hidden_units: Width inside the gated MLPs; by default 8/3 D rounded up to a multiple of 256,
            as in the authors' code. 0 is no MLPs.
        kernel_size: Of `DeltaNet`, as are `negative_eigenvalues`, `gated`, `chunk_size` and `form`.
        negative_eigenvalues: See `kernel_size`.
        gated: See `kernel_size`.
        chunk_size: See `kernel_size`.
        form: See `kernel_size`.
        dtype: Of the model and of all its layers.
        **kwargs: Arguments of `common.models.LanguageModel`.

    Call arguments and results are those of `common.models.LanguageModel`.

    Raises:
        ValueError: as `DeltaNet` and `LanguageModel` do.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        num_layers: int,
        num_heads: int,
        hidden_units: int | None = None,
        kernel_size: int | None = 4,
        negative_eigenvalues: bool = False,
        gated: bool = False,
        chunk_size: int = 64,
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
                DeltaNet(
                    units,
                    num_heads,
                    kernel_size,
                    negative_eigenvalues,
                    gated,
                    chunk_size,
                    epsilon=1e-6,
                    form=form,
                    dtype=dtype,
                )
                for _ in range(num_layers)
            ],
            [
                GatedMLP(hidden_units, dtype=dtype) if hidden_units else None
                for _ in range(num_layers)
            ],
            epsilon=1e-6,
            dtype=dtype,
            **kwargs,
        )
