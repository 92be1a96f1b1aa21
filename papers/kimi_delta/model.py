"""The language model around layers of Kimi delta attention."""

from typing import Any

import keras

from common.checks import check_integers, check_positive, given
from common.models import GatedMLP, LanguageModel
from papers.kimi_delta.layers import KimiDelta

# The model of the synthetic tasks (section 5.1), but for its vocabulary, which is the task's, and
# its MLPs, of which the paper does not tell.
SIZES: dict[str, dict[str, Any]] = {
    "synthetic": {"units": 256, "num_layers": 2, "num_heads": 2, "head_dim": 128},
}


@keras.saving.register_keras_serializable(package="papers")
class KimiDeltaLM(LanguageModel):
    """Embedding, blocks `x + KimiDelta(norm(x))` and `x + mlp(norm(x))`, a norm, logits.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        num_layers: Number of blocks.
        num_heads: Heads of every `KimiDelta`.
        head_dim: Size of a head's keys and values; `units / num_heads` by default.
        hidden_units: Width inside the gated MLPs; by default 8/3 D rounded up to a multiple of 256,
            as in flash-linear-attention. 0 is no MLPs.
        kernel_size: Of `KimiDelta`, as are `rank`, `channel_gates`, `chunk_size` and `form`.
        rank: See `kernel_size`.
        channel_gates: See `kernel_size`.
        chunk_size: See `kernel_size`.
        form: See `kernel_size`.
        dtype: Of the model and of all its layers.
        **kwargs: Arguments of `common.models.LanguageModel`.

    Call arguments and results are those of `common.models.LanguageModel`.

    Raises:
        ValueError: if a size is not a positive integer, and as `KimiDelta` and `LanguageModel` do.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        num_layers: int,
        num_heads: int,
        head_dim: int | None = None,
        hidden_units: int | None = None,
        kernel_size: int | None = 4,
        rank: int | None = None,
        channel_gates: bool = False,
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
                KimiDelta(
                    units,
                    num_heads,
                    kernel_size,
                    rank,
                    channel_gates,
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
