import numpy as np
import pytest
from keras import ops

from common.ops import reference
from common.ops.linear_scan import linear_scan, log_linear_scan
from tests.common.ops.agreement import (
    BATCH,
    LENGTHS,
    MARKS,
    MODES,
    Problem,
    assert_agrees,
    assert_splits,
)

pytestmark = pytest.mark.usefixtures("way")
WIDTH = 5


def draw_inputs(rng, length):
    a = rng.uniform(size=(BATCH, length, WIDTH))
    a[rng.random(a.shape) < 0.1] = 0
    a[rng.random(a.shape) < 0.1] = 1
    a[rng.random(a.shape) < 0.1] = 1e-30
    return [a, rng.normal(size=a.shape)]


def draw_state(rng):
    return rng.normal(size=(BATCH, WIDTH))


PLAIN = Problem(reference.linear_scan, draw_inputs, draw_state)
# Expanding states and one gate for all channels.
SHARED = Problem(
    reference.linear_scan,
    lambda rng, length: [
        rng.uniform(-1.1, 1.1, size=(BATCH, length, 1)),
        rng.normal(size=(BATCH, length, WIDTH)),
    ],
    draw_state,
)


def log_reference(log_a, log_b, state=None, **options):
    return reference.linear_scan(ops.exp(log_a), ops.exp(log_b), state, **options)


LOG = Problem(
    log_reference,
    lambda rng, length: [
        np.log(rng.uniform(1e-6, 1, size=(BATCH, length, WIDTH))),
        rng.normal(scale=3, size=(BATCH, length, WIDTH)),
    ],
    draw_state,  # of both signs
)
# Where the logarithm of the state is -inf.
FROM_ZERO = Problem(log_reference, LOG.inputs, lambda rng: np.zeros((BATCH, WIDTH)))
CASES = [
    pytest.param(linear_scan, PLAIN, id="plain"),
    pytest.param(linear_scan, SHARED, id="shared"),
    pytest.param(log_linear_scan, LOG, id="log"),
]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("op", "problem"), CASES[::2])
def test_agrees_with_the_definition(op, problem, length):
    assert_agrees(op, problem, length, "all")


@pytest.mark.parametrize("marks", MARKS)
@pytest.mark.parametrize(("op", "problem"), CASES)
def test_every_combination_of_marks(op, problem, marks):
    assert_agrees(op, problem, 63, marks)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("op", "problem"), CASES)
def test_compiled(op, problem, mode):
    assert_agrees(op, problem, 63, "all", mode)


@pytest.mark.parametrize(("op", "problem"), CASES[::2])
def test_float32(op, problem):
    assert_agrees(op, problem, 200, "all", dtype="float32", bound=2e-5)


@pytest.mark.parametrize("cut", [1, 63])
@pytest.mark.parametrize(("op", "problem"), CASES)
def test_two_calls_equal_one(op, problem, cut):
    assert_splits(op, problem, 100, cut)


@pytest.mark.parametrize("marks", ["state", "all"])
def test_log_form_is_differentiated_in_a_state_of_zero(marks):
    assert_agrees(log_linear_scan, FROM_ZERO, 63, marks)


def test_log_form_keeps_its_precision_over_long_sequences():
    length = 4000
    log_a = np.full((1, length, 1), -20.0, "float32")
    log_b = np.full((1, length, 1), -3.0, "float32")
    h, _ = log_linear_scan(ops.convert_to_tensor(log_a), ops.convert_to_tensor(log_b))
    np.testing.assert_allclose(ops.convert_to_numpy(h)[0, -1], np.exp(-3.0), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_floats_accumulate_in_float32(dtype):
    ones = ops.ones((1, 3000, 1), dtype)
    h, final = linear_scan(ones, ones)
    assert float(final[0, 0]) == 3000
    assert h.dtype == ones.dtype


def test_states_stay_exact_with_closed_gates():
    a = ops.zeros((1, 5, 1))
    b = ops.reshape(ops.arange(5, dtype="float32"), (1, 5, 1))
    h, _ = linear_scan(a, b)
    np.testing.assert_array_equal(ops.convert_to_numpy(h), ops.convert_to_numpy(b))
