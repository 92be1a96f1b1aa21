"""The language model around log-linear Mamba-2 or Gated DeltaNet, or either without levels."""

from typing import Any

import keras

from common.checks import check_choice, check_divides, check_integers, check_positive, given
from common.layers import SequenceLayer
from common.models import GatedMLP, LanguageModel
from common.ops.fenwick import MOST_LEVELS
from papers.delta_net.layers import DeltaNet
from papers.log_linear.layers import LogLinearDeltaNet, LogLinearMamba2
from papers.mamba2.layers import Mamba2

MEMORIES = ("mamba2", "delta-net")

# Section 4.2: 21 layers of 1,536. Vocabulary, MLPs and Gated DeltaNet's heads are those with which
# the models without levels have the paper's numbers of parameters.
_SHARED: dict[str, Any] = {"vocabulary_size": 32000, "units": 1536, "num_layers": 21}
_MAMBA2 = {**_SHARED, "num_heads": 48, "key_dim": 128, "value_dim": 64}
_DELTA_NET = {
    **_SHARED, "memory": "delta-net", "num_heads": 6, "key_dim": 192, "value_dim": 384
}  # fmt: skip
SIZES: dict[str, dict[str, Any]] = {
    "mamba2": {**_MAMBA2, "num_levels": None},
    "log-linear-mamba2": _MAMBA2,
    "delta-net": {**_DELTA_NET, "num_levels": None},
    "log-linear-delta-net": _DELTA_NET,
}


@keras.saving.register_keras_serializable(package="papers")
class LogLinearLM(LanguageModel):
    """Embedding, blocks `x + mixer(norm(x))` and `x + mlp(norm(x))`, a norm, logits.

    Args:
        vocabulary_size: Number of tokens in the vocabulary.
        units: Width D of the stream.
        num_layers: Number of blocks.
        num_heads: Heads of every mixer.
        key_dim: Size of a head's keys: K, or N of Mamba-2.
        value_dim: Size of a head's values: V, or P of Mamba-2, whose E is `num_heads value_dim`.
        memory: `"mamba2"`, or `"delta-net"`, which is Gated DeltaNet.
        num_levels: Levels of the mixers; None is Mamba-2 or Gated DeltaNet itself.
        kernel_size: Steps that the mixers' convolution sees.
        hidden_units: Width inside the gated MLPs; by default 8/3 D rounded up to a multiple of 256.
            0 is no MLPs.
        chunk_size: Of the mixers, a power of two with Mamba-2.
        form: Of the mixers.
        dtype: Of the model and of all its layers.
        **kwargs: Arguments of `common.models.LanguageModel`.

    Call arguments and results are those of `common.models.LanguageModel`.

    Raises:
        ValueError: if `memory` is none of these, E no multiple of D, and as the mixers and
            `LanguageModel` do.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        num_layers: int,
        num_heads: int,
        key_dim: int,
        value_dim: int,
        memory: str = "mamba2",
        num_levels: int | None = 15,
        kernel_size: int = 4,
        hidden_units: int | None = None,
        chunk_size: int = 64,
        form: str = "auto",
        dtype=None,
        **kwargs,
    ):
        check_positive(self, units=units, num_layers=num_layers, num_heads=num_heads)
        check_positive(self, key_dim=key_dim, value_dim=value_dim)
        check_choice(self, MEMORIES, memory=memory)
        check_integers(self, 0, **given(hidden_units=hidden_units))
        check_integers(self, 2, MOST_LEVELS, **given(num_levels=num_levels))
        if hidden_units is None:
            hidden_units = -(-(8 * units // 3) // 256) * 256
        shared: dict[str, Any] = {
            "kernel_size": kernel_size,
            "chunk_size": chunk_size,
            "form": form,
            "dtype": dtype,
            **given(num_levels=num_levels),
        }
        layer: type[SequenceLayer]
        if memory == "mamba2":
            layer, inner = LogLinearMamba2 if num_levels else Mamba2, num_heads * value_dim
            check_divides(self, "`num_heads` `value_dim`", inner, units=units)
            shared |= {"state_dim": key_dim, "head_dim": value_dim, "expansion": inner // units}
            shared |= {"num_layers": num_layers}
        else:
            layer = LogLinearDeltaNet if num_levels else DeltaNet
            shared |= {"num_heads": num_heads, "key_dim": key_dim, "value_dim": value_dim}
            shared |= {"gated": True}
        super().__init__(
            vocabulary_size,
            units,
            [layer(units=units, **shared) for _ in range(num_layers)],
            [
                GatedMLP(hidden_units, dtype=dtype) if hidden_units else None
                for _ in range(num_layers)
            ],
            dtype=dtype,
            **kwargs,
        )
