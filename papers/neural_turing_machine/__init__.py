"""Neural Turing Machines (Graves et al. 2014), as made stable by Collier and Beel (2018)."""

from common.reproduce.lazy import lazy_exports

__all__ = ["NTM", "BitsCrossEntropy", "Transducer"]
__getattr__ = lazy_exports(__name__, NTM="layers", BitsCrossEntropy="model", Transducer="model")
