"""The stack around the layers: blocks, networks, a language model."""

from common.models.counting import count_parameters
from common.models.initial import draw_normal
from common.models.language_model import LanguageModel
from common.models.networks import MLP, GatedMLP

__all__ = ["MLP", "GatedMLP", "LanguageModel", "count_parameters", "draw_normal"]
