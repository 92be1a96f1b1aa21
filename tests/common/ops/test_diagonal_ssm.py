import keras
import numpy as np
import pytest
from keras import ops

from common.ops import reference
from common.ops.diagonal_ssm import (
    convolution,
    diagonal_ssm_step,
    parallel_diagonal_ssm,
    recurrent_diagonal_ssm,
)
from tests.common.ops.agreement import (
    BATCH,
    LENGTHS,
    MARKS,
    MODES,
    Problem,
    assert_agrees,
    assert_splits,
)

CHANNELS, SIZE = 3, 4


def draw_inputs(rng, length):
    u = rng.normal(size=(BATCH, length, CHANNELS))
    rng = np.random.default_rng(1)
    shape = (CHANNELS, SIZE // 2)
    log_pole = np.concatenate([-rng.uniform(0.01, 1, shape), rng.uniform(-4, 4, shape)], -1)
    return [u, log_pole, rng.normal(size=(CHANNELS, SIZE))]


PROBLEM = Problem(
    reference.diagonal_ssm,
    draw_inputs,
    lambda rng: rng.normal(size=(BATCH, CHANNELS, SIZE)),
    constants=2,
    takes_initial=False,
)
FORMS = [recurrent_diagonal_ssm, parallel_diagonal_ssm]
each_form = pytest.mark.parametrize("form", FORMS)


@each_form
@pytest.mark.parametrize("length", LENGTHS)
def test_agrees_with_the_definition(form, length):
    assert_agrees(form, PROBLEM, length, "all")


@each_form
@pytest.mark.parametrize("marks", (*MARKS, "state"))
def test_every_combination_of_marks(form, marks):
    assert_agrees(form, PROBLEM, 63, marks)


@each_form
@pytest.mark.parametrize("marks", ["state", "mask", "all"])
@pytest.mark.parametrize("mode", MODES)
def test_compiled(form, marks, mode):
    assert_agrees(form, PROBLEM, 200, marks, mode)


@each_form
@pytest.mark.parametrize("marks", ["state", "all"])
def test_float32(form, marks):
    assert_agrees(form, PROBLEM, 200, marks, dtype="float32", bound=5e-5)


@each_form
@pytest.mark.parametrize("cut", [1, 63])
def test_two_calls_equal_one(form, cut):
    assert_splits(form, PROBLEM, 100, cut)


def test_steps_equal_the_loop():
    rng = np.random.default_rng(0)
    u, log_pole, weight = (ops.convert_to_tensor(x) for x in draw_inputs(rng, 5))
    want, final = recurrent_diagonal_ssm(u, log_pole, weight)
    state = ops.zeros((BATCH, CHANNELS, SIZE), "float64")
    for t in range(5):
        y, state = diagonal_ssm_step(u[:, t], log_pole, weight, state)
        np.testing.assert_allclose(
            ops.convert_to_numpy(y), ops.convert_to_numpy(want)[:, t], rtol=1e-12
        )
    np.testing.assert_allclose(ops.convert_to_numpy(state), ops.convert_to_numpy(final), rtol=1e-12)


@each_form
def test_sixteen_bit_inputs_accumulate_in_float32(form):
    inputs = draw_inputs(np.random.default_rng(0), 100)
    y, final = form(*[ops.cast(x, "bfloat16") for x in inputs])
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(final.dtype) == "float32"


@pytest.mark.parametrize("several", [False, True])
def test_convolution_is_a_sum_of_products(several):
    rng = np.random.default_rng(0)
    u = rng.normal(size=(BATCH, 37, CHANNELS))
    kernel = rng.normal(size=(CHANNELS, 2, 50) if several else (CHANNELS, 9))
    want = np.zeros((*u.shape, 2) if several else u.shape)
    for t in range(37):
        for j in range(min(t + 1, kernel.shape[-1])):
            now = u[:, t - j, :, None] if several else u[:, t - j]
            want[:, t] += now * kernel[..., j]
    got = convolution(ops.convert_to_tensor(u), ops.convert_to_tensor(kernel))
    np.testing.assert_allclose(ops.convert_to_numpy(got), want, rtol=0, atol=1e-12)


def test_names_the_argument_that_does_not_fit():
    u = ops.zeros((1, 3, CHANNELS))
    with pytest.raises(ValueError, match="`u` must have shape"):
        parallel_diagonal_ssm(u[0], ops.zeros((CHANNELS, 4)), ops.zeros((CHANNELS, 4)))
    with pytest.raises(ValueError, match="`log_pole` must have shape"):
        parallel_diagonal_ssm(u, ops.zeros((CHANNELS, 3)), ops.zeros((CHANNELS, 3)))
    with pytest.raises(ValueError, match="`log_pole` must have shape"):
        recurrent_diagonal_ssm(u, ops.zeros((2, 4)), ops.zeros((2, 4)))
    with pytest.raises(ValueError, match="`weight` must have the shape"):
        recurrent_diagonal_ssm(u, ops.zeros((CHANNELS, 4)), ops.zeros((CHANNELS, 2)))
