"""The LSTM beside Keras's own, which has the gates in the same order."""

import keras
import numpy as np

from common.layers import LSTM
from tests.helpers.gradients import gradients


def test_keras_weights_fit_as_they_are():
    rng = np.random.default_rng(0)
    ours = LSTM(4, dtype="float64")
    theirs = keras.layers.LSTM(4, return_sequences=True, return_state=True, dtype="float64")
    for layer in (ours, theirs):
        layer.build((None, None, 3))
    weights = [rng.standard_normal(w.shape) for w in theirs.get_weights()]
    ours.set_weights(weights)
    theirs.set_weights(weights)

    def run_ours(x, hidden, cell):
        state = {"hidden": hidden, "cell": cell}
        outputs, state = ours(x, initial_state=state, return_state=True)
        return outputs, state["hidden"], state["cell"]

    def run_theirs(x, hidden, cell):
        return theirs(x, initial_state=[hidden, cell])

    args = [rng.standard_normal(shape) for shape in ((2, 6, 3), (2, 4), (2, 4))]
    got, want = gradients(run_ours, args), gradients(run_theirs, args)
    for a, b in zip(got[0] + got[1], want[0] + want[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
