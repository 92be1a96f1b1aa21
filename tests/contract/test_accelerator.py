"""The layers on a GPU or TPU; without one there is nothing to run.

KERAS_BACKEND=jax python -m pytest tests/contract/test_accelerator.py
"""

import contextlib
import functools

import keras
import numpy as np
import pytest

from common.ops.loops import default_device
from tests.contract.subjects import FLOAT32, FLOAT64, all_forms
from tests.helpers.gradients import gradients

pytestmark = pytest.mark.skipif(
    default_device() == "cpu", reason="The backend sees no accelerator."
)

BATCH, LENGTH = 2, 150  # more than two chunks of any layer, and no whole number of them
TOLERANCES = {FLOAT64: 1e-9, FLOAT32: 1e-3}


@functools.cache
def _values(subject, form, dtype) -> list[np.ndarray]:
    """Outputs, the flat final state, and the gradient in the inputs."""
    layer = subject.layer(form, dtype)

    def call(inputs):
        return layer(inputs, return_state=True)

    outputs, grads = gradients(call, [subject.inputs(BATCH, LENGTH, dtype=dtype)], "graph")
    return [*outputs, *grads]


def _exact_products():
    """Products of float32 matrices in float32: by default JAX rounds their entries to TF32."""
    if keras.backend.backend() != "jax":
        return contextlib.nullcontext()
    import jax

    return jax.default_matmul_precision("highest")


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(("subject", "form"), all_forms(), scope="module")
def test_forms_agree_with_the_recurrent_one_in_float64(subject, form, dtype):
    with _exact_products():
        got, want = _values(subject, form, dtype), _values(subject, "recurrent", FLOAT64)
    for value, reference in zip(got, want, strict=True):
        scale = max(1.0, float(np.abs(reference).max()))
        np.testing.assert_allclose(value / scale, reference / scale, atol=TOLERANCES[dtype], rtol=0)
