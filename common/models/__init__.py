"""The stack around the layers: blocks, MLPs, a language model."""

from common.models.causal_lm import CausalLM
from common.models.counting import count_parameters
from common.models.initial import init_normal
from common.models.language_model import LanguageModel
from common.models.networks import MLP, GatedMLP, activation_of
from common.models.recorded_model import RecordedModel
from common.models.sampling import GreedySampler, RandomSampler
from common.models.sequence_model import SequenceModel

__all__ = [
    "CausalLM",
    "MLP",
    "GatedMLP",
    "GreedySampler",
    "LanguageModel",
    "RandomSampler",
    "RecordedModel",
    "SequenceModel",
    "activation_of",
    "count_parameters",
    "init_normal",
]
