"""Transformers are RNNs (Katharopoulos et al., 2020): attention as a recurrence in S and z."""

from common.reproduce.lazy import lazy_exports

__all__ = ["LinearAttention", "LinearTransformer", "TransformerBlock"]

__getattr__ = lazy_exports(
    __name__, LinearAttention="layers", LinearTransformer="model", TransformerBlock="model"
)
