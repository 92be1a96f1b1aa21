"""What the paper compares with on induction heads, from other papers."""

from common.models import LanguageModel
from papers.h3 import H3


def h3(vocabulary_size: int, units: int, num_layers: int) -> LanguageModel:
    """H3 (Table 11): H3's layers in place of Mamba, without networks between them."""
    mixers = [H3(units, state_dim=64) for _ in range(num_layers)]
    return LanguageModel(vocabulary_size, units, mixers, tie_embeddings=True)
