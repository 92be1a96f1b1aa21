"""A float64 layer computes in float64 in a process that nothing else has set up for it."""

import os
import subprocess
import sys

import pytest

# An LSTM's step by NumPy: 1e-16 apart where all is float64, 1e-8 where a product is float32.
ERROR = """
import numpy as np
from common.layers import LSTM
layer = LSTM(5, dtype="float64")
layer.build((None, None, 3))
kernel, recurrent, bias = layer.get_weights()
sigmoid = lambda x: 1 / (1 + np.exp(-x))
x = np.random.default_rng(0).standard_normal((2, 9, 3))
hidden = cell = np.zeros((2, 5))
for t in range(9):
    i, f, g, o = np.split(x[:, t] @ kernel + hidden @ recurrent + bias, 4, axis=-1)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    hidden = sigmoid(o) * np.tanh(cell)
import keras
got = keras.ops.convert_to_numpy(layer(x))
assert got.dtype == "float64", got.dtype
error = np.max(np.abs(got[:, -1] - hidden))
assert error < 1e-14, error
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_float64_is_float64(backend):
    pytest.importorskip(backend)
    env = {**os.environ, "KERAS_BACKEND": backend, "JAX_ENABLE_X64": "1"}
    run = subprocess.run([sys.executable, "-c", ERROR], capture_output=True, text=True, env=env)
    assert run.returncode == 0, run.stderr[-2000:]


def test_jax_without_64_bits_is_refused():
    pytest.importorskip("jax")
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "0"}
    run = subprocess.run([sys.executable, "-c", ERROR], capture_output=True, text=True, env=env)
    assert run.returncode != 0 and "Set JAX_ENABLE_X64=1" in run.stderr, run.stderr[-2000:]
