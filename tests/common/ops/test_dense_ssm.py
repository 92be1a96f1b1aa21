import numpy as np
import pytest
from keras import ops

from common.ops import reference
from common.ops.dense_ssm import fft_dense_ssm, recurrent_dense_ssm
from tests.common.ops.agreement import (
    BATCH,
    LENGTHS,
    MODES,
    Problem,
    assert_agrees,
    assert_splits,
)

SIZE, CHANNELS = 4, 3
A = np.random.default_rng(1).normal(size=(SIZE, SIZE))
A = 0.99 * A / np.abs(np.linalg.eigvals(A)).max()
B = np.random.default_rng(2).normal(size=SIZE)

PROBLEM = Problem(
    reference.dense_ssm,
    lambda rng, length: [rng.normal(size=(BATCH, length, CHANNELS)), A, B],
    lambda rng: rng.normal(size=(BATCH, CHANNELS, SIZE)),
    constants=2,
)
SCALAR = Problem(
    reference.dense_ssm,
    lambda rng, length: [rng.normal(size=(BATCH, length)), A, B],
    lambda rng: rng.normal(size=(BATCH, SIZE)),
    constants=2,
)


@pytest.mark.parametrize("length", LENGTHS)
def test_recurrent_agrees_with_the_definition(length):
    assert_agrees(recurrent_dense_ssm, PROBLEM, length, "all")


@pytest.mark.parametrize("marks", ["state", "mask"])
@pytest.mark.parametrize("length", LENGTHS)
def test_fft_agrees_with_the_definition(length, marks):
    assert_agrees(fft_dense_ssm, PROBLEM, length, marks)


def test_fft_without_channels():
    assert_agrees(fft_dense_ssm, SCALAR, 63, "plain")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("form", "marks"), [(recurrent_dense_ssm, "all"), (fft_dense_ssm, "mask")])
def test_compiled(form, marks, mode):
    assert_agrees(form, PROBLEM, 200, marks, mode)


@pytest.mark.parametrize(
    ("form", "marks"), [(recurrent_dense_ssm, "all"), (fft_dense_ssm, "state")]
)
def test_float32(form, marks):
    assert_agrees(form, PROBLEM, 200, marks, dtype="float32", bound=2e-5)


@pytest.mark.parametrize("cut", [1, 63])
def test_two_calls_equal_one(cut):
    assert_splits(recurrent_dense_ssm, PROBLEM, 100, cut)


def test_fft_continues_from_a_state():
    u = ops.convert_to_tensor(np.random.default_rng(3).normal(size=(BATCH, 100, CHANNELS)))
    a, b = ops.convert_to_tensor(A), ops.convert_to_tensor(B)
    whole, final = fft_dense_ssm(u, a, b)
    _, middle = fft_dense_ssm(u[:, :37], a, b)
    rest, last = fft_dense_ssm(u[:, 37:], a, b, middle)
    for got, want in ((rest, whole[:, 37:]), (last, final)):
        np.testing.assert_allclose(
            ops.convert_to_numpy(got), ops.convert_to_numpy(want), rtol=0, atol=1e-10
        )


def test_fft_refuses_resets():
    u = ops.zeros((1, 4))
    with pytest.raises(ValueError, match="`reset`"):
        fft_dense_ssm(u, ops.eye(2), ops.ones(2), reset=ops.zeros((1, 4), "bool"))


def test_names_the_argument_that_does_not_fit():
    with pytest.raises(ValueError, match="`a` must be a square"):
        recurrent_dense_ssm(ops.zeros((1, 4)), ops.zeros((2, 3)), ops.ones(2))
    with pytest.raises(ValueError, match="`b` must have shape"):
        recurrent_dense_ssm(ops.zeros((1, 4)), ops.eye(2), ops.ones(3))
