"""Hungry hungry hippos (Fu et al., 2022): two state space models and two products.

With S4D (Gu et al., 2022), the diagonal state space model that it is made of.
"""

from common.reproduce.lazy import lazy_exports

__all__ = ["H3", "S4D", "H3Model"]

__getattr__ = lazy_exports(__name__, H3="layers", S4D="layers", H3Model="model")
