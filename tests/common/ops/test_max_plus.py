import numpy as np
import pytest
from keras import ops

from common.ops import reference
from common.ops.linear_scan import LOG_ZERO, max_plus_scan
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
HEADS = 3


def draw_inputs(rng, length):
    shape = (BATCH, length, HEADS)
    # Gates near 1 and far from it, and some above: an exponential forget gate may be.
    log_f = np.where(rng.random(shape) < 0.5, -0.1, -3.0) * rng.exponential(size=shape)
    log_f[rng.random(shape) < 0.1] = 0.2
    return [log_f, rng.normal(scale=2, size=shape)]


def draw_state(rng):
    return rng.normal(scale=2, size=(BATCH, HEADS))


PROBLEM = Problem(reference.max_plus_scan, draw_inputs, draw_state)


@pytest.mark.parametrize("length", LENGTHS)
def test_agrees_with_the_definition(length):
    assert_agrees(max_plus_scan, PROBLEM, length, "all")


@pytest.mark.parametrize("marks", MARKS)
def test_every_combination_of_marks(marks):
    assert_agrees(max_plus_scan, PROBLEM, 63, marks)


@pytest.mark.parametrize("mode", MODES)
def test_compiled(mode):
    assert_agrees(max_plus_scan, PROBLEM, 63, "all", mode)


def test_float32():
    assert_agrees(max_plus_scan, PROBLEM, 200, "all", dtype="float32", bound=2e-5)


@pytest.mark.parametrize("cut", [1, 63])
def test_two_calls_equal_one(cut):
    assert_splits(max_plus_scan, PROBLEM, 100, cut)


def test_is_the_logarithm_of_the_largest_term_of_the_gated_sum():
    """`m_i = max_j sum_{k = j+1..i} log_f_k + i_j`, the row maximum of Beck 2024, eq. 80."""
    rng = np.random.default_rng(0)
    log_f, i = draw_inputs(rng, 30)
    nothing = np.full((BATCH, HEADS), LOG_ZERO)
    m, _ = max_plus_scan(ops.array(log_f), ops.array(i), ops.array(nothing))
    want = [
        np.max([log_f[:, j + 1 : t + 1].sum(1) + i[:, j] for j in range(t + 1)], axis=0)
        for t in range(30)
    ]
    np.testing.assert_allclose(ops.convert_to_numpy(m), np.stack(want, 1), rtol=1e-12)


def test_resets_count_at_masked_steps_too():
    log_f = ops.array(np.zeros((1, 3, 1)))
    i = ops.array(np.array([[[5.0], [9.0], [-7.0]]]))
    mask = ops.array([[True, False, True]])
    reset = ops.array([[False, True, False]])
    initial = ops.array([[-2.0]])
    m, final = max_plus_scan(log_f, i, initial=initial, mask=mask, reset=reset)
    np.testing.assert_array_equal(ops.convert_to_numpy(m)[0, :, 0], [5.0, -2.0, -2.0])
    assert float(final[0, 0]) == -2.0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_floats_accumulate_in_float32(dtype):
    steps = ops.ones((1, 3000, 1), dtype)
    m, final = max_plus_scan(steps, ops.zeros_like(steps))
    assert float(final[0, 0]) == 3000
    assert m.dtype == steps.dtype


def test_names_the_argument_that_does_not_fit():
    with pytest.raises(ValueError, match=r"`log_f`.*\(1, 3, 2\)"):
        max_plus_scan(ops.zeros((1, 3, 1)), ops.zeros((1, 3, 2)))
