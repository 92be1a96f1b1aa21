"""What JAX may differentiate: reverse over reverse, as the documentation says; no forward mode."""

import keras
import numpy as np
import pytest

from common.layers import LSTM

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX's transformations")


def test_reverse_over_reverse_works_and_forward_is_refused():
    import jax

    layer = LSTM(2, dtype="float64")
    x = jax.numpy.asarray(np.random.default_rng(0).standard_normal((1, 3, 2)))
    layer(x)

    def f(x):
        return jax.numpy.sum(layer(x) ** 2)

    hessian = np.asarray(jax.jacrev(jax.jacrev(f))(x)).reshape(6, 6)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)
    step = 1e-5 * np.eye(6).reshape(6, 1, 3, 2)
    for i in range(2):
        slope = (jax.grad(f)(x + step[i]) - jax.grad(f)(x - step[i])) / 2e-5
        np.testing.assert_allclose(hessian[i], np.ravel(slope), rtol=1e-4, atol=1e-8)
    with pytest.raises(TypeError, match="forward-mode|jvp"):
        jax.jvp(f, (x,), (x,))
