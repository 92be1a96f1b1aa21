import numpy as np
import pytest
from keras import ops

from common.ops.feature_maps import dpfp, elu_plus_one, sum_normalise
from tests.helpers.gradients import gradients


def test_elu_plus_one_values_and_gradient():
    x = np.array([-800.0, -1.0, 0.0, 2.0])
    (value,), (grad,) = gradients(elu_plus_one, [x])
    np.testing.assert_allclose(value, [0, np.exp(-1), 1, 3])
    weights = (np.arange(4) * 7919 % 1009) / 504 - 1
    np.testing.assert_allclose(grad, weights * [0, np.exp(-1), 1, 1], rtol=1e-6)


def test_dpfp_by_hand():
    # r = relu([1, -2, -1, 2]) = [1, 0, 0, 2]; shifted by one [2, 1, 0, 0], by two [0, 2, 1, 0].
    features = ops.convert_to_numpy(dpfp(ops.array([1.0, -2.0]), nu=2))
    np.testing.assert_array_equal(features, [2, 0, 0, 0, 0, 0, 0, 0])
    # r = [1, 2, 0, 0]; shifted by one [0, 1, 2, 0].
    features = ops.convert_to_numpy(dpfp(ops.array([1.0, 2.0]), nu=1))
    np.testing.assert_array_equal(features, [0, 2, 0, 0])


@pytest.mark.parametrize("nu", [0, 4])
def test_dpfp_refuses_shifts_that_repeat(nu):
    with pytest.raises(ValueError, match="`nu`"):
        dpfp(ops.ones((1, 2)), nu=nu)


def test_sum_normalise():
    x = ops.array([[1.0, 3.0], [0.0, 0.0]])
    np.testing.assert_allclose(
        ops.convert_to_numpy(sum_normalise(x)), [[0.25, 0.75], [0, 0]], atol=1e-6
    )
