"""Legendre memory units: matrices and cell re-derived in NumPy, the model, the untrained LMU."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import papers.lmu
from common.layers import LSTM
from common.tasks import DelayedWhiteNoise
from papers.lmu import LMU, LegendreMemory, LegendreReadout, LMUModel
from papers.lmu.experiments import make_network, nrmse, untrained_lmu
from papers.lmu.legendre import discretised_system, legendre_polynomials, legendre_system
from tests.contract.papers import COMMON, ModelSubject, PaperContract
from tests.helpers.arrays import array

INITIALIZERS = {
    f"{source}_{part}_initializer": {"class_name": "RandomNormal", "config": {"stddev": 0.3}}
    for source in ("input", "hidden", "memory")
    for part in ("encoders", "kernel")
}

CONTRACT = PaperContract(
    kernels={
        "lmu-lmu": [(1, 3, 5), (1, 5, 5), (1, 4, 5)],
        "lmu-memory": [],
    },
    models=(
        ModelSubject(
            "lmu",
            LMUModel,
            lambda dtype: {
                "recurrent": [LMU(5, 3, 6.0, use_bias=True, dtype=dtype), LSTM(4, dtype=dtype)],
                "output_dim": 4,
            },
            COMMON | {"output_activation": "tanh", "return_sequences": False},
            width=3,
        ),
    ),
    other_arguments={
        "LMU": [
            {"units": 4, "order": 5, "theta": 7.5, "activation": "linear", "use_bias": True}
            | INITIALIZERS
        ],
        "LegendreMemory": [{"order": 5, "theta": 7.5, "channels": 3}],
    },
)


def test_the_system_is_the_papers_equations_one_and_two():
    a, b = legendre_system(3)
    np.testing.assert_array_equal(a, [[-1, -1, -1], [3, -3, -3], [-5, 5, -5]])
    np.testing.assert_array_equal(b, [1, -3, 5])


@pytest.mark.parametrize(("order", "theta"), [(1, 5.0), (4, 4.0), (12, 30.0)])
def test_discretisation_solves_the_differential_equation(order, theta):
    a, b = legendre_system(order)
    got_a, got_b = discretised_system(order, theta)
    # Runge-Kutta of order 4 with small steps over one step of constant input.
    m, steps = np.concatenate([np.eye(order), np.zeros((order, 1))], axis=1), 4000
    u = np.concatenate([np.zeros(order), [1.0]])

    def slope(m):
        return (a @ m + np.outer(b, u)) / theta

    for _ in range(steps):
        k1 = slope(m)
        k2 = slope(m + k1 / 2 / steps)
        k3 = slope(m + k2 / 2 / steps)
        m = m + (k1 + 2 * k2 + 2 * k3 + slope(m + k3 / steps)) / 6 / steps
    np.testing.assert_allclose(got_a, m[:, :-1], atol=1e-10)
    np.testing.assert_allclose(got_b, m[:, -1], atol=1e-10)


@pytest.mark.parametrize("theta", [1, 30, 784, 99_999.5])
def test_discretisation_is_stable_at_order_256(theta):
    a, _ = discretised_system(256, theta)
    norm = np.sqrt(2.0 * np.arange(256) + 1)
    # No step can make a memory grow, in the norm of the function that it holds.
    assert np.linalg.norm(a * norm / norm[:, None], 2) <= 1 + 1e-9
    _, squared = discretised_system(256, theta / 2) if theta > 1 else (None, None)
    if squared is not None:
        twice, _ = discretised_system(256, theta / 2)
        np.testing.assert_allclose(twice, a @ a, atol=1e-8 * np.abs(a).max())


def test_readout_holds_legendre_polynomials():
    points = np.linspace(-1, 1, 7)
    got = legendre_polynomials(101, points)
    for degree in (0, 1, 2, 5, 100):
        want = np.polynomial.legendre.Legendre.basis(degree)(points)
        np.testing.assert_allclose(got[degree], want, atol=1e-12)
    assert legendre_polynomials(1, points).shape == (1, 7)
    np.testing.assert_allclose(array(LegendreReadout()((101, 7))), got, atol=1e-6)


@pytest.mark.parametrize("form", LegendreMemory.forms)
def test_memory_holds_the_window(form):
    theta, delay = 50, 20
    t = np.arange(400)
    signal = np.sin(t / 17.0) + 0.5 * np.cos(t / 31.0)
    layer = LegendreMemory(12, theta, channels=2, form=form, dtype="float64")
    memories = array(layer(np.stack([signal, 2 * signal], -1)[None]))[0]
    readout = legendre_polynomials(12, np.array([2 * (delay + 0.5) / theta - 1]))[:, 0]
    # A hold's value belongs to the middle of its step: half a step of delay.
    error = memories[100:, :12] @ readout - signal[100 - delay : 400 - delay]
    assert np.abs(error).max() < 2e-3
    np.testing.assert_allclose(memories[:, 12:], 2 * memories[:, :12], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "linear"])
def test_cell_is_the_papers_equations(activation):
    rng = np.random.default_rng(0)
    layer = LMU(4, 3, 7.0, activation=activation, use_bias=True, dtype="float64")
    x = rng.standard_normal((2, 9, 2))
    layer.build(x.shape)
    layer.set_weights([0.3 * rng.standard_normal(w.shape) for w in layer.weights])
    w = dict(zip([w.name for w in layer.weights], layer.get_weights(), strict=True))
    a, b = discretised_system(3, 7.0)
    f = np.tanh if activation == "tanh" else lambda v: v
    h, m = np.zeros((2, 4)), np.zeros((2, 3))
    want = []
    for t in range(9):
        u = x[:, t] @ w["input_encoders"] + h @ w["hidden_encoders"] + m @ w["memory_encoders"]
        m = m @ a.T + u * b
        h = f(
            x[:, t] @ w["input_kernel"]
            + h @ w["hidden_kernel"]
            + m @ w["memory_kernel"]
            + w["bias"]
        )
        want.append(h)
    got, state = layer(x, return_state=True)
    np.testing.assert_allclose(array(got), np.stack(want, 1), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(array(state["hidden"]), h, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(array(state["memory"]), m, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("window", "low", "high"), [(100, 5e-3, 2.5e-2), (1000, 5e-5, 2.5e-4)])
def test_untrained_lmu_reaches_the_reported_capacity(window, low, high):
    task = DelayedWhiteNoise(window=window)
    data = task.batch(10, 0, 0, split="test")
    layer = untrained_lmu(5, 100, window - 0.5)
    layer.build((None, None, 1))
    model = keras.Sequential([keras.Input((None, 1)), layer])
    error = np.square(model.predict(data["inputs"], verbose=0) - data["targets"])[:, window:]
    mse = error.mean((0, 1))
    assert low < mse[1:].min() and mse[1:].max() < high
    assert mse[0] < mse[1]


@pytest.mark.parametrize(
    ("recurrent", "parameters"),
    # The notebook's counts, less its A and B, d^2 + d for each LMU, which are constants here.
    [
        (["lstm-25"] * 4, 18_026),
        (["lmu-49"] * 4, 18_326 - 4 * 20),
        (["lmu-40", "lstm-25"] * 2, 18_020 - 2 * 20),
    ],
)
def test_parameters_of_the_mackey_glass_networks(recurrent, parameters):
    model = make_network(recurrent, "tanh")
    model.build((None, 10, 1))
    assert model.count_params() == parameters


def test_parameters_of_the_psmnist_network():
    model = LMUModel([LMU(212, 256, 784)], 10, "softmax", return_sequences=False)
    model.build((None, 784, 1))
    assert model.count_params() == 102_027


def sines(batch=16, length=30):
    phase = np.random.default_rng(0).uniform(0, 6, (batch, 1, 1))
    signal = np.sin(np.arange(length + 3)[None, :, None] / 3 + phase).astype("float32")
    return signal[:, :-3], signal[:, 3:]


def small_model():
    return LMUModel([LMU(8, 4, 6.0, use_bias=True), LSTM(6)], 1)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a TensorFlow training loop")
def test_learns_in_a_custom_loop():
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    x, y = sines()
    model = small_model()
    model.build(x.shape)
    optimizer = keras.optimizers.Adam(1e-2)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=True)
    def update(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - y))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    losses = [float(update(x, y)) for _ in range(25)]
    assert losses[-1] < 0.3 * losses[0]


def test_nrmse_is_relative_to_the_targets():
    targets = np.array([[3.0, 4.0]])
    assert nrmse(np.zeros((1, 2)), targets) == pytest.approx(100)
    assert nrmse(np.array([[3.0, 3.5]]), targets) == pytest.approx(10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "units.*0"),
        ({"order": -1}, "order.*-1"),
        ({"theta": 0.5}, "theta.*0.5"),
        ({"activation": "relu"}, "activation.*relu"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        LMU(**{"units": 4, "order": 3, "theta": 5.0, **arguments})


def test_a_memory_needs_its_channels():
    with pytest.raises(ValueError, match=r"channels.*2.*\(1, 5, 3\)"):
        LegendreMemory(4, 10.0, channels=2)(np.zeros((1, 5, 3)))


def test_a_model_needs_a_recurrent_layer():
    with pytest.raises(ValueError, match="recurrent.*at least one"):
        LMUModel([], 1)


def test_the_declaration_loads_no_keras():
    code = (
        "import sys; import papers.lmu.paper; "
        "print([m for m in ('keras', 'tensorflow', 'jax', 'torch', 'numpy') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_the_readmes_example_runs():
    readme = (Path(papers.lmu.__file__).parent / "README.md").read_text(encoding="utf-8")
    code = readme.split("```python\n")[1].split("```")[0]
    names: dict = {}
    exec(code, names)
    assert names["windows"].shape == (8, 200, 48) and names["window"].shape == (8, 48)
    want = array(names["memory"](np.ones((1, 1, 3))))[:, 0]
    state = names["memory"].get_initial_state(1)
    np.testing.assert_allclose(array(names["memory"].step(np.ones((1, 3)), state)[0]), want, 1e-5)
