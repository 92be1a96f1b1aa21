"""What the model contract suite is run over: every model that a paper exports or defines."""

import functools
import importlib
import inspect
from typing import Any

import keras

from common.layers import LSTM, SoftmaxAttention
from common.models import GatedMLP, LanguageModel
from papers import list_papers
from papers.mamba.model import Sinusoids
from tests.contract.papers import APART, VOCABULARY, ModelSubject, contracts
from tests.contract.subjects import jitted


def _blocks(dtype: str) -> dict[str, Any]:
    mixers = [SoftmaxAttention(8, 2, 20, rotary=True, dtype=dtype), LSTM(8, dtype=dtype)]
    mlps = [GatedMLP(6, dtype=dtype), None]
    return {"vocabulary_size": VOCABULARY, "units": 8, "mixers": mixers, "mlps": mlps}


def subjects() -> list[ModelSubject]:
    """Every model, some of them in several versions."""
    language = {**APART, "mlps": None, "mixers": None}
    return [
        ModelSubject("common", LanguageModel, _blocks, language),
        ModelSubject(
            "common-positions",
            LanguageModel,
            lambda dtype: {**_blocks(dtype), "tie_embeddings": True, "max_positions": 20},
        ),
        ModelSubject(
            "common-sinusoids",
            LanguageModel,
            lambda dtype: {**_blocks(dtype), "position_embedding": Sinusoids(8, dtype=dtype)},
            {"position_embedding": Sinusoids(8, dtype="float64"), "dtype": "float64"},
        ),
        *(subject for contract in contracts() for subject in contract.models),
    ]


def defined_models() -> set[type[keras.Model]]:
    """Every subclass of `keras.Model` that a paper exports or its model.py defines."""
    found = set()
    for name in list_papers():
        package = importlib.import_module(f"papers.{name}")
        module = importlib.import_module(f"papers.{name}.model")
        values = [getattr(package, export) for export in package.__all__]
        values += [value for value in vars(module).values() if _defined_in(value, module)]
        found |= {
            value for value in values if inspect.isclass(value) and issubclass(value, keras.Model)
        }
    return found


def _defined_in(value, module) -> bool:
    return getattr(value, "__module__", None) == module.__name__


def returning_state(model):
    """`model` as a compiled function that returns the state too."""
    return jitted(functools.partial(model, return_state=True))
