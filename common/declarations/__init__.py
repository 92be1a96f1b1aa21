"""Experiments that more than one paper declares, and what shortens declaring them. Data only."""

from common.declarations.experiments import DEFAULT, experiment, presets, timing, training
from common.declarations.labelling import formal_language, labelling
from common.declarations.parameters import parameter_claims, parameters
from common.declarations.recall import mqar
from common.declarations.regular_languages import regular_language_claims, regular_languages

__all__ = [
    "DEFAULT",
    "experiment",
    "formal_language",
    "labelling",
    "mqar",
    "parameter_claims",
    "parameters",
    "presets",
    "regular_language_claims",
    "regular_languages",
    "timing",
    "training",
]
