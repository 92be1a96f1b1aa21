"""The paper's baselines that come with blocks of their own: xLSTM and the Transformer."""

from common.layers import SoftmaxAttention
from common.models import MLP, GatedMLP, LanguageModel
from papers.xlstm.layers import MLSTM, SLSTM


def xlstm(
    vocabulary_size: int, *, units: int, blocks: str, num_heads: int, dropout: float
) -> LanguageModel:
    """An xLSTM of the blocks `m` and `s`, as the xLSTM's authors' code has them."""
    depth = max(1, len(blocks) - 1)
    # 1.3 units, up to the next multiple of 64.
    hidden_units = -(-13 * units // 640) * 64
    return LanguageModel(
        vocabulary_size,
        units,
        [
            MLSTM(units, num_heads, num_layers=len(blocks), chunk_size=16)
            if letter == "m"
            else SLSTM(units, num_heads, depth=i / depth)
            for i, letter in enumerate(blocks)
        ],
        [GatedMLP(hidden_units, "gelu") if letter == "s" else None for letter in blocks],
        norm="layer",
        norm_center=False,
        dropout=dropout,
        embedding_dropout=0.0,
        embedding_stddev=1.0,
    )


def transformer(
    vocabulary_size: int,
    *,
    units: int,
    num_layers: int,
    num_heads: int,
    hidden_units: int,
    window: int,
    dropout: float,
) -> LanguageModel:
    """Causal attention with rotary positions and MLPs, norms before both."""
    return LanguageModel(
        vocabulary_size,
        units,
        [
            SoftmaxAttention(units, num_heads, window, rotary=True, dropout=dropout, use_bias=True)
            for _ in range(num_layers)
        ],
        [MLP(hidden_units) for _ in range(num_layers)],
        norm="layer",
        dropout=dropout,
        embedding_dropout=0.0,
        embedding_stddev=1.0,
    )
