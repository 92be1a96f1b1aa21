import keras
import numpy as np
import pytest
from keras import ops

from common.ops import reference
from common.ops.short_convolution import causal_convolution, causal_convolution_step
from tests.common.ops.agreement import (
    BATCH,
    LENGTHS,
    MARKS,
    MODES,
    Problem,
    assert_agrees,
    assert_splits,
)

WIDTH, CHANNELS = 4, 3


def draw_inputs(rng, length):
    return [rng.normal(size=(BATCH, length, CHANNELS)), rng.normal(size=(WIDTH, CHANNELS))]


PROBLEM = Problem(
    reference.causal_convolution,
    draw_inputs,
    lambda rng: rng.normal(size=(BATCH, WIDTH - 1, CHANNELS)),
    constants=1,
    takes_initial=False,
)


@pytest.mark.parametrize("length", (1, 2, *LENGTHS))
def test_agrees_with_the_definition(length):
    assert_agrees(causal_convolution, PROBLEM, length, "all")


@pytest.mark.parametrize("marks", MARKS)
def test_every_combination_of_marks(marks):
    assert_agrees(causal_convolution, PROBLEM, 63, marks)


@pytest.mark.parametrize("mode", MODES)
def test_compiled(mode):
    assert_agrees(causal_convolution, PROBLEM, 64, "all", mode)


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_two_calls_equal_one(cut):
    assert_splits(causal_convolution, PROBLEM, 63, cut)


def test_steps_equal_a_call():
    x, kernel = (ops.convert_to_tensor(value) for value in draw_inputs(np.random.default_rng(0), 9))
    want, want_state = causal_convolution(x, kernel)
    state, outputs = ops.zeros((BATCH, WIDTH - 1, CHANNELS), x.dtype), []
    for t in range(9):
        y, state = causal_convolution_step(x[:, t], kernel, state)
        outputs.append(ops.convert_to_numpy(y))
    np.testing.assert_allclose(np.stack(outputs, 1), ops.convert_to_numpy(want), rtol=1e-12)
    np.testing.assert_array_equal(ops.convert_to_numpy(state), ops.convert_to_numpy(want_state))


def test_is_numpys_convolution():
    x, kernel = draw_inputs(np.random.default_rng(0), 9)
    got, _ = causal_convolution(ops.convert_to_tensor(x), ops.convert_to_tensor(kernel))
    want = np.convolve(x[1, :, 2], kernel[::-1, 2])[:9]
    np.testing.assert_allclose(ops.convert_to_numpy(got)[1, :, 2], want, rtol=1e-12)


def test_sixteen_bit_inputs_keep_their_dtype():
    x, kernel = draw_inputs(np.random.default_rng(0), 9)
    y, final = causal_convolution(ops.cast(x, "bfloat16"), ops.cast(kernel, "float32"))
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(final.dtype) == "bfloat16"


def test_names_the_argument_that_does_not_fit():
    with pytest.raises(ValueError, match=r"`kernel`.*\(4, 2\)"):
        causal_convolution(ops.zeros((1, 5, 3)), ops.zeros((4, 2)))
    with pytest.raises(ValueError, match="`x`"):
        causal_convolution(ops.zeros((1, 3)), ops.zeros((4, 3)))
