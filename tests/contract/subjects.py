"""What the contract suite is run over: every layer case of every paper, and common's layers."""

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
from keras import tree

from common.layers import LSTM, SequenceLayer, SoftmaxAttention
from papers import get_paper, list_papers
from tests.contract.papers import PaperContract, contracts

FLOAT32, FLOAT64 = "float32", "float64"


def jitted(function):
    """`function` itself, except on JAX, where running it op by op takes minutes."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    # A function of its own each time: JAX would hand out what it compiled for `function` before,
    # with the weights of then.
    return jax.jit(lambda *args, **kwargs: function(*args, **kwargs))


@dataclass(frozen=True)
class Subject:
    """A layer under test: `make(form=..., dtype=...)` builds one from its configuration."""

    name: str
    make: Callable[..., SequenceLayer]
    input_dim: int

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms it offers, the fastest first."""
        return self.make().forms

    def layer(self, form: str = "recurrent", dtype: str = FLOAT64, seed: int = 0) -> SequenceLayer:
        """A built layer; its weights depend on `seed` only, neither on the form nor the dtype."""
        if dtype != FLOAT64:
            layer = self.make(form=form, dtype=dtype)
            layer.build((None, None, self.input_dim))
            layer.set_weights(self.layer(form, FLOAT64, seed).get_weights())
            return layer
        keras.utils.set_random_seed(seed)
        layer = self.make(form=form, dtype=dtype)
        layer.build((None, None, self.input_dim))
        rng = np.random.default_rng(seed)
        for weight in layer.trainable_variables:
            value = keras.ops.convert_to_numpy(weight).astype(FLOAT64)
            # Off their initial values, so that zero biases and encoders take part too.
            weight.assign(value + 0.1 * rng.standard_normal(value.shape))
        return layer

    def inputs(self, batch: int, length: int, seed: int = 0, dtype: str = FLOAT64) -> np.ndarray:
        rng = np.random.default_rng([seed, batch, length])
        return rng.standard_normal((batch, length, self.input_dim)).astype(dtype)


def factory(path: str) -> Callable[..., Any]:
    """The callable that `"module:attribute"` names."""
    module, attribute = path.split(":")
    return getattr(importlib.import_module(module), attribute)


def all_subjects() -> list[Subject]:
    """The layers of `common` and every `LayerCase` of every paper, in order of name."""
    attention = functools.partial(SoftmaxAttention, units=6, num_heads=2, window=20, key_dim=4)
    subjects = [
        Subject("common-lstm", functools.partial(LSTM, units=5), 3),
        Subject("common-softmax", attention, 3),
        Subject("common-rotary", functools.partial(attention, num_kv_heads=1, rotary=True), 3),
    ]
    for name in list_papers():
        for case in get_paper(name).layers:
            make = functools.partial(_make, case.factory, case.config)
            subjects.append(Subject(f"{name}-{case.name}", make, case.input_dim))
    return subjects


_COMMON = PaperContract(corners={"common-softmax": [{"num_heads": 1}]})


def corner_subjects() -> list[Subject]:
    """Subjects with the settings that users start from and the layer cases leave out."""
    subjects = {subject.name: subject for subject in all_subjects()}
    return [
        Subject(
            "-".join([name, *(f"{key}={value}" for key, value in settings.items())]),
            functools.partial(subjects[name].make, **settings),
            subjects[name].input_dim,
        )
        for contract in (_COMMON, *contracts())
        for name, corners in contract.corners.items()
        for settings in corners
    ]


def all_forms() -> list:
    """Parameters `(subject, form)` for pytest: every form of every subject."""
    return [
        pytest.param(subject, form, id=f"{subject.name}-{form}")
        for subject in all_subjects()
        for form in subject.forms
    ]


def _make(path: str, config: dict[str, Any], **kwargs) -> SequenceLayer:
    return factory(path)(**{**config, **kwargs})


def warm_state(layer: SequenceLayer, subject: Subject, batch: int, seed: int = 7):
    """A state as numpy arrays that a few steps on random inputs lead to: valid, and not zero."""
    dtype = layer.compute_dtype if layer.compute_dtype == FLOAT64 else FLOAT32
    inputs = subject.inputs(batch, 5, seed, dtype)
    _, state = jitted(functools.partial(layer, return_state=True))(inputs)
    return tree.map_structure(keras.ops.convert_to_numpy, state)
