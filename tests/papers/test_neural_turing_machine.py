"""The Neural Turing Machine: one step re-derived in NumPy, addressing, training, saving."""

import keras
import numpy as np
import pytest

from common.layers import LSTM
from papers.neural_turing_machine import NTM, BitsCrossEntropy
from papers.neural_turing_machine.experiments import copied_length
from papers.neural_turing_machine.model import Transducer
from tests.contract.papers import COMMON, ModelSubject, PaperContract
from tests.helpers.arrays import array, sigmoid


def _stack(dtype: str) -> dict:
    ntm = NTM(6, controller_units=5, memory_slots=5, memory_width=3, dtype=dtype)
    return {"stack": [ntm, LSTM(5, dtype=dtype), keras.layers.Dense(4, dtype=dtype)]}


CONTRACT = PaperContract(
    kernels={
        "neural_turing_machine-ntm": [(1, 3, 24), (1, 14, 24), (1, 6, 38), (1, 14, 3)],
    },
    models=(ModelSubject("neural_turing_machine", Transducer, _stack, COMMON, width=3),),
    other_arguments={
        "NTM": [
            {"units": 4, "controller_units": 5, "memory_slots": 7, "memory_width": 3}
            | {"read_heads": 2, "write_heads": 2, "shift_range": 2, "clip": 0.3}
            | {"memory_init": "learned"}
        ],
    },
    corners={
        "neural_turing_machine-ntm": [
            {"read_heads": 1, "write_heads": 2, "memory_init": "constant"}
        ],
    },
)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softplus(x):
    return np.log1p(np.exp(x))


def test_a_step_is_the_papers_equations():
    """One read and one write head, shifts of one; equation numbers of Graves et al."""
    layer = NTM(3, controller_units=4, memory_slots=6, memory_width=2, dtype="float64")
    rng = np.random.default_rng(0)
    layer.build((None, None, 5))
    layer.set_weights([0.7 * rng.standard_normal(w.shape) for w in layer.weights])
    weights = dict(zip([w.name for w in layer.weights], layer.get_weights(), strict=True))
    x = rng.standard_normal((1, 5))
    state = {
        "controller": {"hidden": rng.standard_normal((1, 4)), "cell": rng.standard_normal((1, 4))},
        "memory": rng.standard_normal((1, 6, 2)),
        "reads": rng.standard_normal((1, 1, 2)),
        "read_weights": softmax(rng.standard_normal((1, 1, 6))),
        "write_weights": softmax(rng.standard_normal((1, 1, 6))),
    }
    output, new = layer.step(x, state)

    memory = state["memory"][0]
    carried = np.concatenate([state["reads"][0, 0], state["controller"]["hidden"][0]])
    gates = x[0] @ weights["kernel"] + weights["bias"] + carried @ weights["recurrent_kernel"]
    i, f, u, o = np.split(gates, 4)
    cell = sigmoid(f) * state["controller"]["cell"][0] + sigmoid(i) * np.tanh(u)
    hidden = sigmoid(o) * np.tanh(cell)
    p = np.clip(hidden @ weights["head_kernel"] + weights["head_bias"], -20, 20)
    keys, add = np.tanh(p[0:4]).reshape(2, 2), np.tanh(p[4:6])
    interpolation, erase = sigmoid(p[6:8]), sigmoid(p[8:10])
    strength, sharpness = softplus(p[10:12]), 1 + softplus(p[12:14])
    shifts = softmax(p[14:20].reshape(2, 3))
    where = []
    for head, previous in enumerate((state["read_weights"][0, 0], state["write_weights"][0, 0])):
        norms = np.linalg.norm(memory, axis=1) * np.linalg.norm(keys[head])
        content = softmax(strength[head] * (memory @ keys[head]) / norms)  # (5), (6)
        gated = interpolation[head] * content + (1 - interpolation[head]) * previous  # (7)
        moved = np.array(
            [sum(gated[(n - j) % 6] * shifts[head, j + 1] for j in (-1, 0, 1)) for n in range(6)]
        )  # (8)
        sharp = moved ** sharpness[head]
        where.append(sharp / sharp.sum())  # (9)
    read = where[0] @ memory  # (2), before the write
    written = memory * (1 - np.outer(where[1], erase)) + np.outer(where[1], add)  # (3), (4)
    want = np.concatenate([read, hidden]) @ weights["output_kernel"] + weights["output_bias"]

    np.testing.assert_allclose(array(new["read_weights"])[0, 0], where[0], atol=1e-6)
    np.testing.assert_allclose(array(new["write_weights"])[0, 0], where[1], atol=1e-6)
    np.testing.assert_allclose(array(new["memory"])[0], written, atol=1e-6)
    np.testing.assert_allclose(array(new["controller"]["cell"])[0], cell, atol=1e-12)
    np.testing.assert_allclose(array(output)[0], np.clip(want, -20, 20), atol=1e-6)


@pytest.mark.parametrize("memory_init", ["constant", "random", "learned"])
def test_initial_state(memory_init):
    layer = NTM(2, memory_init=memory_init)
    layer.build((None, None, 3))
    state = {k: v for k, v in layer.get_initial_state(2).items() if k != "controller"}
    memory = array(state["memory"])
    assert memory.shape == (2, 128, 20)
    if memory_init == "constant":
        np.testing.assert_allclose(memory, 1e-6)
    else:
        assert np.all(np.abs(memory) < 1) and memory.std() > 0.005
    for name in ("read_weights", "write_weights"):
        np.testing.assert_allclose(array(state[name]).sum(-1), 1, rtol=1e-5)


def test_parameters_of_the_copy_cell():
    """By hand, from Collier and Beel's code: 65,096 with LSTM 100, 128 x 20, one head each."""
    layer = NTM(8)
    layer.build((None, None, 9))
    controller = (9 + 20 + 100) * 400 + 400
    heads = 100 * (2 * (20 + 1 + 1 + 3 + 1) + 40) + 2 * (20 + 1 + 1 + 3 + 1) + 40
    output = (100 + 20) * 8 + 8
    state = 128 * 20 + 20 + 2 * 128
    assert layer.count_params() == controller + heads + output + state


def test_loss_sums_bits_and_averages_sequences():
    logits, targets = np.zeros((4, 3, 2), "float32"), np.ones((4, 3, 2), "float32")
    weights = np.array([[1, 1, 0]] * 4, "float32")
    got = array(BitsCrossEntropy()(targets, logits, sample_weight=weights))
    assert got == pytest.approx(2 * 2 * np.log(2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "units.*0"),
        ({"shift_range": 64}, "shift_range.*64"),
        ({"memory_init": "zeros"}, "memory_init.*zeros"),
        ({"clip": 0.0}, "clip.*0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        NTM(**{"units": 2, **arguments})


@pytest.mark.parametrize(
    ("curve", "longest"),
    [
        ({20: 0.0, 40: 32.0, 60: 48.1}, 40),  # a tenth of 8 L is the limit
        ({20: 17.0, 40: 0.0}, 0),  # no length counts past a failure
        ({40: 1.0, 20: 1.0}, 40),
    ],
)
def test_copied_length(curve, longest):
    assert copied_length(curve, bits=8) == longest
