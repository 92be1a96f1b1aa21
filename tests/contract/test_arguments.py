"""The ninth invariant: every argument is checked, and survives in the config."""

import dataclasses
import inspect

import pytest

from common.layers import SequenceLayer
from tests.common.tasks.settings import TASKS
from tests.contract import invariants
from tests.contract.subjects import all_subjects
from tests.helpers.arguments import parameters, wrongly_accepted

LAYERS = {type(subject.make()): subject for subject in all_subjects()}
for_each_layer = pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)

# Every argument at another value than its default. What two arguments exclude, stands in two.
HEADS = {"units": 6, "num_heads": 2, "key_dim": 4, "value_dim": 5, "use_bias": True}
INITIALIZERS = {
    f"{source}_{part}_initializer": {"class_name": "RandomNormal", "config": {"stddev": 0.3}}
    for source in ("input", "hidden", "memory")
    for part in ("encoders", "kernel")
}
OTHER_VALUES = {
    "LSTM": [{"units": 4, "forget_bias": 0.5}],
    "SoftmaxAttention": [
        HEADS
        | {"window": 5, "num_kv_heads": 1, "rotary": True, "dropout": 0.5, "form": "parallel"}
        | {"rotary_dim": 2},
        {"units": 6, "num_heads": 2, "window": 5, "output_bias": True},
    ],
    "DeltaNet": [
        HEADS
        | {"conv_width": 3, "negative_eigenvalues": True, "gated": True}
        | {"chunk_size": 2, "epsilon": 1e-2}
    ],
    "FastWeightAttention": [
        HEADS | {"rule": "sum", "feature_map": "elu", "nu": 2, "chunk_size": 2},
        HEADS | {"rule": "sum", "nu": 2, "form": "parallel"},
    ],
    "GatedLinearAttention": [HEADS | {"gate_rank": 3, "temperature": 2.0, "chunk_size": 2}],
    "RGLRU": [{"units": 3, "num_blocks": 3, "scan": "associative"}],
    "RecurrentBlock": [
        {"units": 5, "recurrent_units": 6, "num_blocks": 3, "kernel_size": 3}
        | {"activation": "gelu_tanh", "scan": "associative"}
    ],
    "H3": [
        {"units": 6, "state_dim": 8, "head_dim": 3}
        | {"initialisation": "inverse", "discretisation": "zoh"}
    ],
    "S4D": [
        {"units": 5, "state_dim": 8, "shared_poles": True}
        | {"initialisation": "inverse", "discretisation": "bilinear"}
    ],
    "LinearAttention": [HEADS | {"chunk_size": 2, "epsilon": 0.1}],
    "LMU": [
        {"units": 4, "order": 5, "theta": 7.5, "activation": "linear", "use_bias": True}
        | INITIALIZERS
    ],
    "LegendreMemory": [{"order": 5, "theta": 7.5, "channels": 3}],
    "Mamba": [
        {"units": 4, "state_dim": 3, "conv_width": 3, "expansion": 3, "dt_rank": 2}
        | {"negative_eigenvalues": True, "depth": 5, "scan": "associative"}
    ],
    "Mamba2": [
        {"units": 4, "state_dim": 3, "head_dim": 3, "num_groups": 2, "conv_width": 3}
        | {"expansion": 3, "chunk_size": 2, "depth": 5}
    ],
    "MinGRU": [
        {"units": 4, "positive": False, "learned_initial_state": True, "scan": "associative"}
    ],
    "MinLSTM": [
        {"units": 4, "positive": False, "learned_initial_state": True, "forget_bias": 2.0}
        | {"scan": "associative"}
    ],
    "NTM": [
        {"units": 4, "controller_units": 5, "memory_slots": 7, "memory_width": 3}
        | {"read_heads": 2, "write_heads": 2, "shift_range": 2, "clip": 0.3}
        | {"memory_init": "learned"}
    ],
    "Retention": [HEADS | {"chunk_size": 2}],
    "MLSTM": [
        {"units": 6, "num_heads": 2, "expansion": 1, "kernel_size": 3, "block_size": 2}
        | {"forget_gate": "exponential", "num_blocks": 3, "chunk_size": 2}
        | {"scan": "associative"}
    ],
    "SLSTM": [
        {"units": 6, "num_heads": 3, "kernel_size": 3, "forget_gate": "exponential", "depth": 0.5}
        | {"recurrent_initializer": {"class_name": "RandomNormal", "config": {"stddev": 0.3}}}
    ],
}


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
    missing = set(parameters(cls, SequenceLayer)) - {"form", "go_backwards"}
    assert cls.__name__ in OTHER_VALUES, f"give {cls.__name__} a row in OTHER_VALUES"
    for values in OTHER_VALUES[cls.__name__]:
        invariants.arguments_survive(cls, values)
        missing -= values.keys()
    assert not missing, f"give {sorted(missing)} of {cls.__name__} values in OTHER_VALUES"
