import numpy as np
import pytest
from keras import ops

from common.ops.triangular import unit_lower_inverse, unit_lower_inverse_flops
from tests.common.ops.agreement import MODES
from tests.helpers.gradients import gradients

SIZES = (1, 2, 7, 8, 9, 16, 50, 64)


def systems(size, count=3, scale=1.0):
    rng = np.random.default_rng(size)
    return scale * rng.normal(size=(count, size, size)) / size**0.5


def exact(a):
    return np.linalg.inv(np.eye(a.shape[-1]) + np.tril(a, -1))


@pytest.mark.parametrize("size", SIZES)
def test_is_the_inverse_and_reads_only_below_the_diagonal(size):
    a = systems(size)
    a += np.triu(np.full_like(a, 1e6))
    got = ops.convert_to_numpy(unit_lower_inverse(ops.convert_to_tensor(a)))
    np.testing.assert_allclose(got, exact(a), rtol=1e-9, atol=1e-10)
    assert not np.triu(got, 1).any()
    np.testing.assert_array_equal(np.diagonal(got, axis1=1, axis2=2), 1)


@pytest.mark.parametrize("mode", ["eager", *MODES])
@pytest.mark.parametrize("size", [5, 20])
def test_gradient(size, mode):
    """For a loss with gradient G in the inverse X it is `-tril(X^T G X^T, -1)`."""
    a = systems(size)
    shapes = [(None, size, size)]
    (x,), (got,) = gradients(unit_lower_inverse, [a], mode, shapes)
    np.testing.assert_allclose(x, exact(a), rtol=1e-9, atol=1e-10)
    index = np.arange(x.size)
    upstream = (index % 1009 * 7919 % 1009 / 504 - 1).reshape(x.shape)  # `weighted_sum`'s
    transposed = x.swapaxes(1, 2)
    want = -np.tril(transposed @ upstream @ transposed, -1)
    np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-9 * np.abs(want).max())


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_is_as_safe_as_substitution_where_powers_would_overflow(beta):
    """The same key in every step: the entries of `A^n` reach 1e21, those of the inverse beta."""
    a = np.full((1, 64, 64), beta, "float32")
    got = ops.convert_to_numpy(unit_lower_inverse(ops.convert_to_tensor(a)))
    i, j = np.indices((64, 64))
    below = -beta * (1.0 - beta) ** np.maximum(i - j - 1, 0)
    want = np.where(i == j, 1.0, np.where(i > j, below, 0.0))
    np.testing.assert_allclose(got[0], want, atol=1e-6)


def test_rows_and_columns_of_very_different_size():
    """`D A D^-1` with factors from 1e-6 to 1e6: the error keeps to the size of each entry."""
    scale = 10.0 ** np.random.default_rng(0).uniform(-6, 6, size=(64, 1))
    a = systems(64)
    scaled = (scale * a / scale.T).astype("float32")
    got = ops.convert_to_numpy(unit_lower_inverse(ops.convert_to_tensor(scaled)))
    error = np.abs(got * scale.T / scale - exact(a))
    assert error.max() < 1e-4 * np.abs(exact(a)).max()


def test_flops_are_those_of_the_joins():
    assert unit_lower_inverse_flops(8) == 0
    assert unit_lower_inverse_flops(16) == 2 * 16 * 8**2  # two products of 8 x 8
    assert unit_lower_inverse_flops(64) == 2 * 64 * (8**2 + 16**2 + 32**2)
    assert unit_lower_inverse_flops(50) == 2 * 56 * (7**2 + 14**2 + 28**2)  # padded to 56


def test_names_the_argument_that_does_not_fit():
    with pytest.raises(ValueError, match=r"`a`.*\(2, 3, 4\)"):
        unit_lower_inverse(ops.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="`a`"):
        unit_lower_inverse(ops.zeros((4, 4)))
