"""The language model around Mamba-3 layers (section 3.4)."""

from typing import Any

import keras

from common.checks import check_integers, check_positive, given
from common.models import GatedMLP, LanguageModel
from papers.mamba3.layers import Mamba3

# The models whose width and depth the paper states (appendices C, D and G; section 4.1.1), with
# one kernel for embedding and logits, as their name asks for, and the tokens of Llama 3.1.
_SISO: dict[str, Any] = {
    "vocabulary_size": 128256,
    "units": 2048,
    "num_layers": 24,
    "state_dim": 128,
    "head_dim": 64,
    "hidden_units": 4096,
    "tie_embeddings": True,
}
SIZES = {"1.5B": _SISO, "1.5B-mimo": {**_SISO, "rank": 4, "hidden_units": 3824}}


@keras.saving.register_keras_serializable(package="papers")
class Mamba3LM(LanguageModel):
    """Embedding, blocks `x + mamba3(norm(x))` and `x + mlp(norm(x))`, a norm, logits.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        num_layers: Number of blocks.
        state_dim: As for `Mamba3`, and so are `head_dim`, `num_groups`, `expansion`, `rotation`,
            `discretization`, `rotary_fraction`, `rate_activation`, `rank`, `chunk_size` and `form`.
        head_dim: See `state_dim`.
        num_groups: See `state_dim`.
        expansion: See `state_dim`.
        rotation: See `state_dim`.
        discretization: See `state_dim`.
        rotary_fraction: See `state_dim`.
        rate_activation: See `state_dim`.
        rank: See `state_dim`.
        hidden_units: Width inside the SwiGLU MLPs, by default 2 D. 0 is no MLPs.
        chunk_size: See `state_dim`.
        form: See `state_dim`.
        dtype: Of the model and of all its layers.
        epsilon: Of all norms.
        **kwargs: Arguments of `common.models.LanguageModel`.

    Call arguments and results are those of `common.models.LanguageModel`.

    Raises:
        ValueError: if a size is not a positive integer, and as `Mamba3` and `LanguageModel` do.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        num_layers: int,
        state_dim: int = 128,
        head_dim: int = 64,
        num_groups: int = 1,
        expansion: int = 2,
        rotation: str | None = "data_dependent",
        discretization: str = "trapezoidal",
        rotary_fraction: float = 1.0,
        rate_activation: str = "softplus",
        rank: int = 1,
        hidden_units: int | None = None,
        chunk_size: int = 64,
        form: str = "auto",
        dtype=None,
        epsilon: float = 1e-5,
        **kwargs,
    ):
        check_positive(self, units=units, num_layers=num_layers)
        check_integers(self, 0, **given(hidden_units=hidden_units))
        hidden_units = 2 * units if hidden_units is None else hidden_units
        super().__init__(
            vocabulary_size,
            units,
            [
                Mamba3(
                    units,
                    state_dim,
                    head_dim,
                    num_groups,
                    expansion,
                    rotation,
                    discretization,
                    rotary_fraction,
                    rate_activation,
                    rank,
                    chunk_size,
                    num_residuals=num_layers * (2 if hidden_units else 1),
                    epsilon=epsilon,
                    form=form,
                    dtype=dtype,
                )
                for _ in range(num_layers)
            ],
            [
                GatedMLP(hidden_units, dtype=dtype) if hidden_units else None
                for _ in range(num_layers)
            ],
            epsilon=epsilon,
            dtype=dtype,
            **kwargs,
        )
