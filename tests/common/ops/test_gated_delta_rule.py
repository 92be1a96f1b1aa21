import keras
import numpy as np
import pytest
from keras import ops

from common.ops import reference
from common.ops.delta_rule import chunkwise_delta_rule, recurrent_delta_rule
from tests.common.ops import test_delta_rule
from tests.common.ops.agreement import (
    LENGTHS,
    MARKS,
    MODES,
    Problem,
    assert_agrees,
    assert_splits,
)
from tests.common.ops.test_delta_rule import HEADS, KEYS, VALUES, draw_state
from tests.helpers.gradients import gradients


def draw_inputs(rng, length):
    inputs = test_delta_rule.draw_inputs(rng, length)
    return [*inputs, -rng.exponential(size=inputs[-1].shape)]


def recurrent(q, k, v, beta, log_decay, **options):
    return recurrent_delta_rule(q, k, v, beta, log_decay=log_decay, **options)


def chunkwise(q, k, v, beta, log_decay, **options):
    return chunkwise_delta_rule(q, k, v, beta, log_decay=log_decay, **options)


PROBLEM = Problem(reference.gated_delta_rule, draw_inputs, draw_state)
FORMS = [recurrent, chunkwise]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("form", FORMS)
def test_agrees_with_the_definition(form, length):
    assert_agrees(form, PROBLEM, length, "all")


@pytest.mark.parametrize("marks", MARKS)
@pytest.mark.parametrize("form", FORMS)
def test_every_combination_of_marks(form, marks):
    assert_agrees(form, PROBLEM, 63, marks)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", FORMS)
def test_compiled(form, mode):
    assert_agrees(form, PROBLEM, 200, "all", mode)


@pytest.mark.parametrize("form", FORMS)
def test_float32(form):
    assert_agrees(form, PROBLEM, 200, "all", dtype="float32", bound=2e-5)


@pytest.mark.parametrize("cut", [1, 63])
def test_two_calls_equal_one(cut):
    assert_splits(chunkwise, PROBLEM, 100, cut)


@pytest.mark.parametrize("chunk_size", [1, 7, 16, 20, 128])
def test_chunk_sizes(chunk_size):
    def form(*args, **options):
        return chunkwise(*args, chunk_size=chunk_size, **options)

    assert_agrees(form, PROBLEM, 63, "all")


@pytest.mark.parametrize("form", FORMS)
def test_without_decay_it_is_the_delta_rule(form):
    def gateless(q, k, v, beta, **options):
        return form(q, k, v, beta, ops.zeros_like(beta), **options)

    assert_agrees(gateless, test_delta_rule.PROBLEM, 100, "all")


def test_extreme_gates_are_exact():
    """Gates of exactly 0 and 1 among gates whose products underflow and logs of 1e4."""
    rng = np.random.default_rng(0)
    inputs = draw_inputs(rng, 130)
    choice = rng.integers(0, 4, size=inputs[4].shape)
    inputs[4] = np.select([choice == 0, choice == 1, choice == 2], [0.0, -1e4, -1e-9], -30.0)
    inputs = [x.astype("float32") for x in inputs]
    results = [gradients(form, inputs, "xla") for form in FORMS]
    for got, want in zip(results[1][0] + results[1][1], results[0][0] + results[0][1], strict=True):
        assert np.all(np.isfinite(got))
        np.testing.assert_allclose(got, want, atol=2e-4 * np.abs(want).max())


def test_sixteen_bit_inputs_accumulate_in_float32():
    inputs = draw_inputs(np.random.default_rng(0), 100)
    o, final = chunkwise(*[ops.cast(x, "bfloat16") for x in inputs])
    assert keras.backend.standardize_dtype(o.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(final.dtype) == "float32"


def test_names_the_argument_that_does_not_fit():
    q, v = ops.zeros((1, 3, HEADS, KEYS)), ops.zeros((1, 3, HEADS, VALUES))
    beta = ops.zeros((1, 3, HEADS))
    for form in FORMS:
        with pytest.raises(ValueError, match="`log_decay`"):
            form(q, q, v, beta, ops.zeros((1, 3, HEADS + 1)))
        with pytest.raises(ValueError, match="`log_decay`"):
            form(q, q, v, beta, ops.zeros((1, 3, HEADS, 1)))
