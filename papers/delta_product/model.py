"""The language model around DeltaProduct layers."""

from typing import Any

import keras

from common.checks import check_integers, check_positive, given
from common.models import GatedMLP, LanguageModel
from papers.delta_product.layers import DeltaProduct


def _size(units: int, num_heads: int, num_householders: int) -> dict[str, Any]:
    return {
        "vocabulary_size": 32000,
        "units": units,
        "num_layers": 24,
        "num_heads": num_heads,
        "head_dim": 128,
        "num_householders": num_householders,
        "tie_embeddings": True,
    }


# Language models of section 5.2, by their size and n_h, from the authors' configurations: of one
# size the more steps a token takes, the fewer heads there are.
SIZES = {
    "213M-1": _size(768, 8, 1),
    "213M-2": _size(736, 6, 2),
    "213M-3": _size(768, 4, 3),
    "805M-1": _size(1536, 16, 1),
    "805M-2": _size(1468, 12, 2),
    "805M-3": _size(1536, 8, 3),
}


@keras.saving.register_keras_serializable(package="papers")
class DeltaProductLM(LanguageModel):
    """Embedding, blocks `x + DeltaProduct(norm(x))` and `x + mlp(norm(x))`, a norm, logits.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        num_layers: Number of blocks.
        num_heads: Heads of every DeltaProduct.
        num_householders: Of `DeltaProduct`, as are `kernel_size`, `negative_eigenvalues`, `gated`,
            `chunk_size` and `form`.
        head_dim: Size of a head's keys and values; `units / num_heads` by default.
        hidden_units: Width inside the gated MLPs; by default 8/3 D rounded up to a multiple of 256,
            as in the authors' code. 0 is no MLPs.
        kernel_size: See `num_householders`.
        negative_eigenvalues: See `num_householders`.
        gated: See `num_householders`.
        chunk_size: See `num_householders`.
        form: See `num_householders`.
        dtype: Of the model and of all its layers.
        **kwargs: Arguments of `common.models.LanguageModel`.

    Call arguments and results are those of `common.models.LanguageModel`.

    Raises:
        ValueError: if a size is not a positive integer, and as `DeltaProduct` and `LanguageModel`
            do.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        num_layers: int,
        num_heads: int,
        num_householders: int = 2,
        head_dim: int | None = None,
        hidden_units: int | None = None,
        kernel_size: int | None = 4,
        negative_eigenvalues: bool = True,
        gated: bool = False,
        chunk_size: int = 64,
        form: str = "auto",
        dtype=None,
        **kwargs,
    ):
        check_positive(self, units=units, num_layers=num_layers, **given(head_dim=head_dim))
        check_integers(self, 0, **given(hidden_units=hidden_units))
        if hidden_units is None:
            hidden_units = -(-(8 * units // 3) // 256) * 256
        super().__init__(
            vocabulary_size,
            units,
            [
                DeltaProduct(
                    units,
                    num_heads,
                    num_householders,
                    kernel_size,
                    negative_eigenvalues,
                    gated,
                    chunk_size,
                    epsilon=1e-6,
                    key_dim=head_dim,
                    value_dim=head_dim,
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
