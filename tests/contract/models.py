"""What the model contract suite is run over: every model that a paper exports or defines."""

import functools
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from common.layers import LSTM, SoftmaxAttention
from common.models import GatedMLP, LanguageModel
from papers import list_papers
from papers.fast_weights import KeyValueMemory
from papers.linear_transformer import LinearTransformer
from papers.lmu import LMU, LMUModel
from papers.mamba.model import Sinusoids
from papers.min_rnn import MinRNN
from papers.neural_turing_machine import NTM, Transducer
from tests.contract.subjects import jitted

VOCABULARY = 7


@dataclass(frozen=True)
class ModelSubject:
    """A model under test.

    Attributes:
        name: Of the model and what is special about it.
        cls: Its class.
        arguments: It is made of these, and of `dtype=` and others that a test adds. A function of
            the dtype where they hold layers.
        others: Every argument of the constructor at another value than its default.
        width: Of inputs `(B, T, width)`; 0 for symbols `(B, T)`.
        tied: Argument that ties the logits' kernel to the embedding's, if there is one.
    """

    name: str
    cls: type[keras.Model]
    arguments: dict[str, Any] | Callable[[str], dict[str, Any]]
    others: dict[str, Any] = field(default_factory=dict)
    width: int = 0

    @property
    def streams(self) -> bool:
        """Whether the model maps sequences to sequences, with a state."""
        return self.cls is not KeyValueMemory

    def given(self, dtype: str = "float32") -> dict[str, Any]:
        """The arguments, `dtype` among them."""
        arguments = self.arguments
        arguments = arguments(dtype) if callable(arguments) else arguments
        return {**arguments, "dtype": dtype}

    def model(self, dtype: str = "float64", **changes) -> keras.Model:
        """A built model whose weights depend on its arguments only, none of them zero."""
        keras.utils.set_random_seed(0)
        model = self.cls(**{**self.given(dtype), **changes})
        return self.prepare(model)

    def prepare(self, model: keras.Model) -> keras.Model:
        """Builds `model` and moves its weights off their initial values."""
        if not model.built:
            model.build((None, None, self.width) if self.width else (None, None))
        rng = np.random.default_rng(0)
        for weight in model.trainable_variables:
            value = keras.ops.convert_to_numpy(keras.ops.cast(weight, "float64"))
            weight.assign(value + 0.1 * rng.standard_normal(value.shape))
        return model

    def inputs(self, batch: int, length: int, seed: int = 0, dtype: str = "float64"):
        rng = np.random.default_rng([seed, batch, length])
        if not self.streams:
            return {
                "inputs": rng.integers(0, VOCABULARY, (batch, length, 2)).astype("int32"),
                "query": rng.integers(0, VOCABULARY, (batch, 3)).astype("int32"),
            }
        if self.width:
            return rng.standard_normal((batch, length, self.width)).astype(dtype)
        return rng.integers(0, VOCABULARY, (batch, length)).astype("int32")


def _blocks(dtype: str) -> dict[str, Any]:
    mixers = [SoftmaxAttention(8, 2, 20, rotary=True, dtype=dtype), LSTM(8, dtype=dtype)]
    networks = [GatedMLP(6, dtype=dtype), None]
    return {"vocabulary": VOCABULARY, "units": 8, "mixers": mixers, "networks": networks}


def _networks() -> list:
    return [GatedMLP(6, dtype="float64")]


def _recurrent(dtype: str) -> dict[str, Any]:
    return {"recurrent": [LMU(5, 3, 6.0, use_bias=True, dtype=dtype), LSTM(4, dtype=dtype)]}


def _ntm(dtype: str) -> dict[str, Any]:
    ntm = NTM(6, controller_units=5, memory_slots=5, memory_width=3, dtype=dtype)
    return {"stack": [ntm, LSTM(5, dtype=dtype), keras.layers.Dense(4, dtype=dtype)]}


SIZE = {"vocabulary": VOCABULARY, "units": 8}
COMMON = {"name": "mine", "dtype": "float64"}
# Of `LanguageModel`, where a paper's model does not say for itself.
LANGUAGE = {
    **COMMON,
    "dropout": 0.3,
    "embedding_deviation": 0.4,
    "embedding_scale": 1.5,
    "head_deviation": 0.3,
    "epsilon": 1e-3,
    "logits_cap": 3.0,
    "max_positions": 20,
    "norm": "layer",
    "norm_center": False,
    "position_embedding": None,  # instead of `max_positions`: in a row of its own
    "tied": True,
}
APART = {**LANGUAGE, "embedding_dropout": 0.2}


def without(options: dict[str, Any], *names: str) -> dict[str, Any]:
    """`options` but for these."""
    return {name: value for name, value in options.items() if name not in names}


def subjects() -> list[ModelSubject]:
    """Every model, some of them in several versions."""
    language = {**APART, "networks": None, "mixers": None}
    found = [
        ModelSubject("common", LanguageModel, _blocks, language),
        ModelSubject(
            "common-positions",
            LanguageModel,
            lambda dtype: {**_blocks(dtype), "tied": True, "max_positions": 20},
        ),
        ModelSubject(
            "common-sinusoids",
            LanguageModel,
            lambda dtype: {**_blocks(dtype), "position_embedding": Sinusoids(8, dtype=dtype)},
            {"position_embedding": Sinusoids(8, dtype="float64"), "dtype": "float64"},
        ),
    ]
    for name, cls, arguments, others in (
        (
            "mamba",
            _class("mamba", "MambaLM"),
            {**SIZE, "num_layers": 1, "state_dim": 3},
            APART
            | {"state_dim": 3, "conv_width": 3, "expansion": 1, "form": "recurrent"}
            | {"tied": False, "networks": _networks()},
        ),
        (
            "mamba-attention",
            _class("mamba", "AttentionLM"),
            {**SIZE, "num_layers": 1, "num_heads": 2, "window": 20},
            without(APART, "norm", "embedding_deviation", "position_embedding")
            | {"positions": "rotary", "networks": _networks()},
        ),
        (
            "mamba-rotary",
            _class("mamba", "AttentionLM"),
            {**SIZE, "num_layers": 1, "num_heads": 2, "window": 20, "positions": "rotary"},
            {},
        ),
        (
            "mamba2",
            _class("mamba2", "Mamba2LM"),
            {**SIZE, "num_layers": 1, "state_dim": 4, "head_dim": 4, "num_groups": 2},
            APART
            | {"state_dim": 4, "head_dim": 2, "conv_width": 3, "expansion": 1, "num_groups": 2}
            | {"tied": False, "form": "recurrent", "networks": _networks()},
        ),
        (
            "gla",
            _class("gla", "GLA"),
            {**SIZE, "num_layers": 1, "num_heads": 2, "mlp_units": 6},
            APART | {"num_heads": 2, "mlp_units": 6, "form": "recurrent"},
        ),
        (
            "retnet",
            _class("retnet", "RetNet"),
            {**SIZE, "num_layers": 1, "num_heads": 2, "mlp_units": 6},
            APART
            | {"num_heads": 2, "mlp_units": 6, "form": "recurrent"}
            # Its own defaults are the other ones.
            | {"norm": "rms", "tied": False},
        ),
        (
            "delta_net",
            _class("delta_net", "DeltaNetLM"),
            {**SIZE, "num_layers": 1, "num_heads": 2, "mlp_units": 6},
            without(APART, "epsilon")
            | {"mlp_units": 6, "conv_width": 3, "negative_eigenvalues": True, "gated": True}
            | {"chunk_size": 4, "form": "recurrent"},
        ),
        (
            "griffin",
            _class("griffin", "Griffin"),
            {**SIZE, "blocks": "rlg", "recurrent_units": 8, "num_blocks": 2, "num_heads": 2}
            | {"window": 4, "context": 30},
            without(APART, "tied", "epsilon", "embedding_deviation")
            | {"activation": "gelu_tanh", "rotary_dim": 2, "output_bias": True}
            | {"num_blocks": 2, "num_heads": 2, "window": 4, "context": 30, "expansion": 1}
            | {"form": "recurrent"},
        ),
        (
            "h3",
            _class("h3", "H3Model"),
            {**SIZE, "num_layers": 1, "state_dim": 4, "window": 20},
            without(APART, "tied", "norm", "max_positions")
            | {"units": 8, "num_layers": 1, "state_dim": 4, "head_dim": 2, "window": 20}
            | {"discretisation": "zoh"},
        ),
        ("h3-s4d", _class("h3", "H3Model"), {**SIZE, "mixer": "s4d", "state_dim": 4}, {}),
        (
            "h3-attention",
            _class("h3", "H3Model"),
            {**SIZE, "num_layers": 1, "mixer": "attention", "window": 20},
            {"mixer": "attention", "attention_dropout": 0.3},
        ),
        (
            "xlstm",
            _class("xlstm", "XLSTM"),
            {**SIZE, "blocks": "ms", "num_heads": 2},
            without(APART, "norm", "norm_center", "embedding_deviation", "head_deviation")
            | {"num_heads": 2, "slstm_kernel_size": 2, "forget_gate": "exponential"}
            | {"recurrent_initializer": "orthogonal", "form": "recurrent"},
        ),
        (
            "min_rnn",
            MinRNN,
            {**SIZE, "num_layers": 2, "expansion": 2},
            COMMON | {"cell": "minlstm", "expansion": 2, "form": "recurrent"},
        ),
        ("min_rnn-lstm", MinRNN, {**SIZE, "num_layers": 1, "cell": "minlstm"}, {}),
        (
            "linear_transformer",
            LinearTransformer,
            {**SIZE, "num_layers": 2, "num_heads": 2, "max_length": 30},
            COMMON | {"attention": "softmax", "hidden_units": 5, "form": "recurrent"},
        ),
        (
            "linear_transformer-softmax",
            LinearTransformer,
            {**SIZE, "num_layers": 1, "num_heads": 2, "max_length": 30, "attention": "softmax"},
            {},
        ),
        (
            "fast_weights",
            KeyValueMemory,
            {"num_keys": VOCABULARY, "rule": "delta", "key_dim": 5},
            COMMON | {"feature_map": "elu", "key_dim": 5},
        ),
        (
            "fast_weights-sum",
            KeyValueMemory,
            {"num_keys": VOCABULARY, "rule": "sum", "key_dim": 5},
            {"nu": 2},
        ),
        (
            "fast_weights-softmax",
            KeyValueMemory,
            {"num_keys": VOCABULARY, "rule": "softmax", "key_dim": 5},
            {},
        ),
    ):
        found.append(ModelSubject(name, cls, arguments, others))
    found += [
        ModelSubject(
            "lmu",
            LMUModel,
            lambda dtype: {**_recurrent(dtype), "outputs": 4},
            COMMON | {"output_activation": "tanh", "return_sequences": False},
            width=3,
        ),
        ModelSubject("neural_turing_machine", Transducer, _ntm, COMMON, width=3),
    ]
    return found


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


def _class(paper: str, name: str) -> type[keras.Model]:
    return getattr(importlib.import_module(f"papers.{paper}.model"), name)


def returning_state(model):
    """`model` as a compiled function that returns the state too."""
    return jitted(functools.partial(model, return_state=True))
