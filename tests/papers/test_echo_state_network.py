"""Echo state networks: a step worked out by hand, the regression, the memory of a delay line."""

import keras
import numpy as np
import pytest
from keras import ops

from common.reproduce.execute.run import Run
from papers.echo_state_network import EchoStateNetwork, Reservoir
from papers.echo_state_network.experiments import memory_capacity
from tests.contract.papers import COMMON, ModelSubject, PaperContract
from tests.helpers.arrays import array

OTHERS = {
    "spectral_radius": 0.5,
    "input_scale": 2.0,
    "leak_rate": 0.4,
    "activation": "linear",
    "matrix": "orthogonal",
}
CONTRACT = PaperContract(
    kernels={
        "echo_state_network-reservoir": [(1, 3, 5), (1, 5, 5)],
    },
    models=(
        ModelSubject(
            "echo_state_network",
            EchoStateNetwork,
            {"units": 6, "output_dim": 4},
            COMMON | OTHERS,
            width=3,
        ),
    ),
    other_arguments={"Reservoir": [{"units": 4} | OTHERS]},
    corners={"echo_state_network-reservoir": [{"leak_rate": 1.0}]},
    by_hand=("echo_state_network-reservoir",),
)


def with_weights(layer, kernel, recurrent_kernel):
    layer.build((None, None, len(kernel)))
    layer.set_weights([np.array(kernel), np.array(recurrent_kernel)])
    return layer


def test_two_steps_by_hand():
    """x_1 = (3/4) f(1), and x_2 from it: a = 3/4, W_in = 1, W = 1/2, u = 1, then 2."""
    inputs = np.array([[[1.0], [2.0]]])
    for activation, want in (
        # 0.75 and 0.25 * 0.75 + 0.75 * (2 + 0.375).
        ("linear", [0.75, 1.96875]),
        # 0.75 tanh 1 = 0.571195617, and 0.25 of that + 0.75 tanh(2.2855978085).
        ("tanh", [0.5711956167, 0.8774394325]),
    ):
        layer = Reservoir(1, leak_rate=0.75, activation=activation, dtype="float64")
        layer = with_weights(layer, [[1.0]], [[0.5]])
        outputs, state = layer(inputs, return_state=True)
        np.testing.assert_allclose(array(outputs)[0, :, 0], want, rtol=1e-9)
        np.testing.assert_allclose(array(state["hidden"]), [[want[1]]], rtol=1e-9)


@pytest.mark.parametrize("matrix", ["gaussian", "orthogonal"])
def test_the_spectral_radius_is_what_was_asked_for(matrix):
    keras.utils.set_random_seed(0)
    layer = Reservoir(30, spectral_radius=0.7, matrix=matrix, dtype="float64")
    layer.build((None, None, 2))
    sizes = np.abs(np.linalg.eigvals(array(layer.recurrent_kernel)))
    assert sizes.max() == pytest.approx(0.7, rel=1e-10)
    if matrix == "orthogonal":
        assert sizes.min() == pytest.approx(0.7, rel=1e-10)


def test_nothing_in_the_reservoir_is_trained():
    model = EchoStateNetwork(5, 2)
    model.build((None, None, 3))
    assert model.trainable_variables == model.readout.trainable_variables


def test_the_readout_is_the_ridge_regression():
    """Against the normal equations, of states from a loop in NumPy."""
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((2, 40, 3)), rng.standard_normal((2, 40, 2))
    keras.utils.set_random_seed(0)
    model = EchoStateNetwork(6, 2, dtype="float64")
    model.fit_readout(inputs, targets, ridge=0.1, washout=5)
    w_in, w = (array(x) for x in (model.reservoir.kernel, model.reservoir.recurrent_kernel))
    x, states = np.zeros((2, 6)), []
    for t in range(40):
        x = np.tanh(inputs[:, t] @ w_in + x @ w)
        states.append(x)
    x, y = np.stack(states, 1)[:, 5:].reshape(-1, 6), targets[:, 5:].reshape(-1, 2)
    x_centred, y_centred = x - x.mean(0), y - y.mean(0)
    kernel = np.linalg.solve(x_centred.T @ x_centred + 0.1 * len(x) * np.eye(6),
                             x_centred.T @ y_centred)  # fmt: skip
    np.testing.assert_allclose(array(model.readout.kernel), kernel, atol=1e-10)
    bias = y.mean(0) - x.mean(0) @ kernel
    np.testing.assert_allclose(array(model.readout.bias), bias, atol=1e-10)


def test_a_delay_line_remembers_as_many_steps_as_it_has_units(tmp_path, monkeypatch):
    """W that shifts, and W_in that writes at one end: exactly the delays 0 to N - 1."""

    def shift(self, shape, dtype=None):
        return ops.convert_to_tensor(np.eye(shape[0], k=1), dtype)

    monkeypatch.setattr(Reservoir, "_draw", shift)
    first = keras.initializers.Constant(np.eye(1, 6))
    monkeypatch.setattr(keras.initializers, "RandomUniform", lambda *_: first)
    run = Run(variant="v", preset="cpu", seed=0, dir=tmp_path)
    result = memory_capacity(
        run,
        units=6,
        delays=20,
        steps=2000,
        washout=50,
        activation="linear",
        matrix="gaussian",
        spectral_radius=0.9,
        ridge=0.0,
    )
    assert result["capacity"] == pytest.approx(6, abs=0.1)
    assert result["capacity_per_unit"] == pytest.approx(result["capacity"] / 6)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="leak_rate.*1.5"):
        Reservoir(4, leak_rate=1.5)
    with pytest.raises(ValueError, match="matrix.*sparse"):
        Reservoir(4, matrix="sparse")
    model = EchoStateNetwork(4, 2)
    with pytest.raises(ValueError, match="`targets`.*washout"):
        model.fit_readout(np.zeros((1, 5, 3)), np.zeros((1, 5, 2)), washout=5)
    with pytest.raises(ValueError, match="`ridge`.*-1"):
        model.fit_readout(np.zeros((1, 5, 3)), np.zeros((1, 5, 2)), ridge=-1.0)
