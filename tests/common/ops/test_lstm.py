"""The LSTM's recurrence against the loop of its cell."""

import keras
import numpy as np
import pytest
from keras import ops

from common.ops.lstm import lstm_cell, lstm_scan
from common.ops.scan import scan
from tests.helpers.gradients import gradients

MODES = {"tensorflow": ("eager", "graph", "xla"), "jax": ("xla",), "torch": ("eager",)}
MODES = MODES[keras.backend.backend()]
UNITS = 3


def arrays(length, scale=1.0):
    """Gates, hidden, cell, kernel."""
    rng = np.random.default_rng(length)
    shapes = [(2, length, 4 * UNITS), (2, UNITS), (2, UNITS), (UNITS, 4 * UNITS)]
    return [scale * rng.standard_normal(shape) for shape in shapes]


def looped(gates, hidden, cell, kernel):
    def step(state, gates):
        state = lstm_cell(gates + ops.matmul(state[0], kernel), state[1])
        return state, state

    return scan(step, (hidden, cell), gates)[1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("length", [1, 7, 8, 20])
def test_values_and_gradients_against_the_loop(mode, length):
    shapes = [(None, None, 4 * UNITS), (None, UNITS), (None, UNITS), (UNITS, 4 * UNITS)]
    args = arrays(length)
    got = gradients(lstm_scan, args, mode, shapes if mode == "graph" else None)
    want = gradients(looped, args)
    for a, b in zip(got[0] + got[1], want[0] + want[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_saturated_gates_stay_finite(mode):
    values, grads = gradients(lstm_scan, arrays(64, scale=1e4), mode)
    assert all(np.all(np.isfinite(x)) for x in values + grads)


def test_sixteen_bit_gates_accumulate_in_float32():
    args = [ops.cast(x, "bfloat16") for x in arrays(50)]
    hidden, cell = lstm_scan(*args)
    want_hidden, want_cell = lstm_scan(*[ops.cast(x, "float32") for x in args])
    assert keras.backend.standardize_dtype(cell.dtype) == "float32"
    np.testing.assert_allclose(hidden, want_hidden, atol=0.05)
    np.testing.assert_allclose(cell, want_cell, atol=0.2)
