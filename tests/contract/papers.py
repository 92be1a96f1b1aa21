"""What a paper's tests tell the contract suites of its layers and models.

`tests/papers/test_<name>.py` holds it as `CONTRACT`, so that a paper adds to no other file.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from common.models import GatedMLP, SequenceModel
from papers import list_papers

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
    """

    name: str
    cls: type[keras.Model]
    arguments: dict[str, Any] | Callable[[str], dict[str, Any]]
    others: dict[str, Any] = field(default_factory=dict)
    width: int = 0

    @property
    def streams(self) -> bool:
        """Whether the model maps sequences to sequences, with a state."""
        return issubclass(self.cls, SequenceModel)

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


@dataclass(frozen=True)
class PaperContract:
    """What a paper adds to the contract suites beside its layer cases.

    Attributes:
        models: Every model that it exports or that its model.py defines.
        other_arguments: Name of a layer's class to constructor arguments, which together have every
            one at another value than its default. What two arguments exclude, stands in two.
        corners: Name of a layer case, `<paper>-<case>`, to settings that users start from and the
            case leaves out: one head, groups of heads, no learned state.
        by_hand: Layer cases that a test of the paper compares with values that were worked out by
            hand; the others have golden vectors.
        kernels: Name of a layer case to the blocks, inputs and outputs of each kernel, from the
            paper's equations: what int8 and low-rank adaptation find. Convolutions are none.
        largest_inputs: Name of a layer case whose transitions grow with its inputs, without a
            bound, to the scale of inputs that its state survives for 63 steps.
    """

    models: tuple[ModelSubject, ...] = ()
    other_arguments: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    corners: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    by_hand: tuple[str, ...] = ()
    kernels: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    largest_inputs: dict[str, float] = field(default_factory=dict)


def contracts() -> list[PaperContract]:
    """Those of all papers, in the order of their names."""
    return [importlib.import_module(f"tests.papers.test_{name}").CONTRACT for name in list_papers()]


# What the arguments of many have in common.

HEADS = {"units": 6, "num_heads": 2, "key_dim": 4, "value_dim": 5, "use_bias": True}
SIZE = {"vocabulary_size": VOCABULARY, "units": 8}
COMMON = {"name": "mine", "dtype": "float64"}
# Of `LanguageModel`, where a paper's model does not say for itself.
LANGUAGE = {
    **COMMON,
    "dropout": 0.3,
    "embedding_stddev": 0.4,
    "embedding_scale": 1.5,
    "head_stddev": 0.3,
    "epsilon": 1e-3,
    "float32_residual": True,
    "logits_cap": 3.0,
    "max_positions": 20,
    "norm": "layer",
    "norm_center": False,
    "remat": True,
    "position_embedding": None,  # instead of `max_positions`: in a row of its own
    "tie_embeddings": True,
}
APART = {**LANGUAGE, "embedding_dropout": 0.2}


def without(options: dict[str, Any], *names: str) -> dict[str, Any]:
    """`options` but for these."""
    return {name: value for name, value in options.items() if name not in names}


def mlps() -> list:
    """One MLP, of what `SIZE` says."""
    return [GatedMLP(6, dtype="float64")]
