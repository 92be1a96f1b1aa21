"""The ninth invariant: every argument is checked, and survives in the config."""

import dataclasses
import inspect

import pytest

from common.layers import SequenceLayer
from tests.common.tasks.settings import TASKS
from tests.contract import invariants
from tests.contract.papers import HEADS, contracts
from tests.contract.subjects import all_subjects
from tests.helpers.arguments import parameters, wrongly_accepted

LAYERS = {type(subject.make()): subject for subject in all_subjects()}
for_each_layer = pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)

OTHER_ARGUMENTS = {
    "LSTM": [{"units": 4, "forget_bias": 0.5}],
    "SoftmaxAttention": [
        HEADS
        | {"window": 5, "num_kv_heads": 1, "rotary": True, "dropout": 0.5, "form": "parallel"}
        | {"rotary_dim": 2},
        {"units": 6, "num_heads": 2, "window": 5, "output_bias": True},
    ],
}
for contract in contracts():
    OTHER_ARGUMENTS |= contract.other_arguments


@for_each_layer
def test_layers_refuse_wrong_arguments(cls):
    faults = wrongly_accepted(LAYERS[cls].make, {}, parameters(cls, SequenceLayer), cls)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "task", {type(task): task for task in TASKS}.values(), ids=lambda task: type(task).__name__
)
def test_tasks_refuse_wrong_arguments(task):
    arguments = dict(inspect.signature(type(task)).parameters)
    faults = wrongly_accepted(type(task), dataclasses.asdict(task), arguments, type(task))
    assert not faults, "\n".join(faults)


@for_each_layer
def test_arguments_survive(cls):
    missing = set(parameters(cls, SequenceLayer)) - {"form", "go_backwards", "return_sequences"}
    assert cls.__name__ in OTHER_ARGUMENTS, f"give {cls.__name__} a row in its paper's CONTRACT"
    for values in OTHER_ARGUMENTS[cls.__name__]:
        invariants.arguments_survive(cls, values)
        missing -= values.keys()
    assert not missing, f"give {sorted(missing)} of {cls.__name__} values in its paper's CONTRACT"
