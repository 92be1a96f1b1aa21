"""S4D and H3: re-derived in NumPy, their model, its training."""

import math

import keras
import numpy as np
import pytest

from papers.h3 import H3, S4D, H3Model
from papers.h3.experiments import Annealed
from papers.h3.layers import initial_frequencies
from papers.h3.shift import shift_response
from tests.contract.papers import APART, SIZE, ModelSubject, PaperContract, without
from tests.helpers.arrays import array

CONTRACT = PaperContract(
    kernels={
        "h3-h3": [(1, 3, 18), (1, 6, 6)],
        "h3-s4d": [(1, 3, 5)],
    },
    models=(
        ModelSubject(
            "h3",
            H3Model,
            {**SIZE, "num_layers": 1, "state_dim": 4, "window": 20},
            without(APART, "tie_embeddings", "norm", "max_positions")
            | {"units": 8, "num_layers": 1, "state_dim": 4, "head_dim": 2, "window": 20}
            | {"discretisation": "zoh"},
        ),
        ModelSubject("h3-s4d", H3Model, {**SIZE, "mixer": "s4d", "state_dim": 4}, {}),
        ModelSubject(
            "h3-attention",
            H3Model,
            {**SIZE, "num_layers": 1, "mixer": "attention", "window": 20},
            {"mixer": "attention", "attention_dropout": 0.3},
        ),
    ),
    other_arguments={
        "H3": [
            {"units": 6, "state_dim": 8, "head_dim": 3}
            | {"initialisation": "inverse", "discretisation": "zoh"}
        ],
        "S4D": [
            {"units": 5, "state_dim": 8, "shared_poles": True}
            | {"initialisation": "inverse", "discretisation": "bilinear"}
        ],
    },
    corners={
        "h3-h3": [{"head_dim": 6}],
    },
)


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def weights(layer):
    return {w.name: array(w).astype("float64") for w in layer.weights}


def drawn(layer, width, seed=0):
    """The layer, built in float64 with weights off their initial values."""
    keras.utils.set_random_seed(seed)
    layer.build((None, None, width))
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(array(weight) + 0.2 * rng.standard_normal(weight.shape))
    return layer


def systems(w, discretisation):
    """The discrete systems as the papers write them: complex A, B and C of a channel."""
    half = w["read"].shape[-1] // 2
    a = -np.exp(w["log_decay"]) + 1j * w["frequency"]
    step = np.exp(w["log_step"])[:, None]
    if discretisation == "bilinear":
        a_bar, b_bar = (1 + step * a / 2) / (1 - step * a / 2), step / (1 - step * a / 2)
    else:
        a_bar = np.exp(step * a)
        b_bar = (a_bar - 1) / a * np.ones_like(a_bar)
    c = w["read"][:, :half] + 1j * w["read"][:, half:]
    if "write" in w:  # H3 learns B
        b_bar = b_bar * (w["write"][:, :half] + 1j * w["write"][:, half:])
    return a_bar, b_bar, c


def run_systems(w, u, discretisation):
    """`x = A x + B u`, `y = 2 Re(C x) + D u` over `(T, D)`."""
    a, b, c = systems(w, discretisation)
    x, outputs = np.zeros(a.shape, complex), []
    for u_t in u:
        x = a * x + b * u_t[:, None]
        outputs.append(2 * (c * x).sum(-1).real + w["skip"] * u_t)
    return np.stack(outputs)


@pytest.mark.parametrize("discretisation", ["zoh", "bilinear"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("form", S4D.forms)
def test_s4d_is_the_papers_equations(form, shared, discretisation):
    options = {"shared_poles": shared, "discretisation": discretisation, "form": form}
    layer = S4D(5, state_dim=6, dtype="float64", **options)
    w = weights(drawn(layer, 3))
    assert w["frequency"].shape == ((1 if shared else 3), 3)
    x = np.random.default_rng(1).standard_normal((2, 20, 3))
    want = [gelu(run_systems(w, u, discretisation)) @ w["kernel"] + w["bias"] for u in x]
    np.testing.assert_allclose(array(layer(x)), np.stack(want), rtol=0, atol=1e-10)


@pytest.mark.parametrize("head_dim", [1, 3])
@pytest.mark.parametrize("form", H3.forms)
def test_h3_is_the_papers_equations(form, head_dim):
    layer = H3(6, state_dim=4, head_dim=head_dim, form=form, dtype="float64")
    w = weights(drawn(layer, 5))
    x = np.random.default_rng(1).standard_normal((2, 20, 5))
    want = []
    for u in x:
        q, k, v = np.split(u @ w["kernel"] + w["bias"], 3, axis=-1)
        # The shift system: its state moves on by one place and takes B k_t in.
        state, shifted = np.zeros((4, 6)), []
        for k_t in k:
            state = np.concatenate([np.zeros((1, 6)), state[:-1]]) + w["shift_write"] * k_t
            shifted.append((w["shift_read"] * state).sum(0) + w["shift_skip"] * k_t)
        k = np.stack(shifted)
        q, k, v = (z.reshape(20, -1, head_dim) for z in (q, k, v))
        outputs = np.zeros((20, 6 // head_dim, head_dim))
        for i in range(head_dim):
            for j in range(head_dim):
                outputs[:, :, j] += q[:, :, i] * run_systems(w, k[:, :, i] * v[:, :, j], "bilinear")
        want.append(outputs.reshape(20, 6) @ w["output_kernel"] + w["output_bias"])
    np.testing.assert_allclose(array(layer(x)), np.stack(want), rtol=0, atol=1e-10)


def test_initial_poles_and_steps():
    np.testing.assert_allclose(initial_frequencies("linear", 8), np.pi * np.arange(4))
    inverse = 8 / np.pi * (8 / np.array([1, 3, 5, 7]) - 1)
    np.testing.assert_allclose(initial_frequencies("inverse", 8), inverse)
    keras.utils.set_random_seed(0)
    layer = S4D(4, state_dim=8, initialisation="inverse", dtype="float64")
    layer.build((None, None, 500))
    w = weights(layer)
    np.testing.assert_allclose(-np.exp(w["log_decay"]), -0.5)
    np.testing.assert_allclose(w["frequency"], np.tile(inverse, (500, 1)))
    steps = np.exp(w["log_step"])
    assert steps.min() >= 1e-3 and steps.max() <= 0.1
    assert np.median(steps) == pytest.approx(1e-2, rel=0.4)  # log-uniform


def test_initial_input_vectors_change_nothing():
    keras.utils.set_random_seed(0)
    layer = H3(6, state_dim=8, head_dim=2, dtype="float64")
    layer.build((None, None, 5))
    response = shift_response(layer.shift_write, layer.shift_read)
    np.testing.assert_allclose(array(response), array(layer.shift_read), rtol=0, atol=1e-15)
    np.testing.assert_array_equal(array(layer.write), np.tile([1, 1, 1, 1, 0, 0, 0, 0], (3, 1)))


def test_s4d_answers_a_constant_with_unit_variance():
    keras.utils.set_random_seed(0)
    layer = S4D(4, state_dim=16, initialisation="inverse", dtype="float64")
    layer.build((None, None, 4000))
    a, b, c = systems(weights(layer), "zoh")
    answers = 2 * (c * b / (1 - a)).sum(-1).real
    assert answers.std() == pytest.approx(1, rel=0.05)


def test_the_three_projections_differ():
    keras.utils.set_random_seed(0)
    layer = H3(8, state_dim=4)
    layer.build((None, None, 8))
    q, k, v = np.split(array(layer.kernel), 3, axis=1)
    for a, b in ((q, k), (q, v), (k, v), (q, array(layer.output_kernel))):
        assert np.abs(a - b).max() > 0.1


@pytest.mark.parametrize("state_dim", [8, 64])
def test_a_long_sequence_goes_through_the_transform(state_dim):
    """More steps than a product with a matrix serves, and than the shift remembers."""
    layer = drawn(H3(4, state_dim=state_dim, dtype="float64"), 3)
    x = np.random.default_rng(1).standard_normal((1, 300, 3))
    loop = H3.from_config({**layer.get_config(), "form": "recurrent"})
    loop.build(x.shape)
    loop.set_weights(layer.get_weights())
    np.testing.assert_allclose(array(layer(x)), array(loop(x)), rtol=0, atol=1e-9)


def test_state_is_what_the_paper_says():
    layer = H3(6, state_dim=4, head_dim=2)
    state = layer.get_initial_state(2)
    assert {name: tuple(x.shape) for name, x in state.items()} == {
        "shift": (2, 3, 6),  # and the current key: the last four
        "memory": (2, 4, 3, 4),
    }


@pytest.mark.parametrize("mixer", ["h3", "s4d", "attention"])
def test_parameters_of_the_model(mixer):
    model = H3Model(20, mixer=mixer, window=32)
    model.build((None, None))
    d, n = 32, 64
    system = {
        "h3": 3 * (d * d + d) + 2 * d * n + d + (d + d * n + 2 * d * n + d) + d * d + d,
        "s4d": (d + 2 * n // 2 + d * n + d) + d * d + d,
        "attention": 4 * (d * d + d),
    }[mixer]
    block = system + 2 * 2 * d + d * 4 * d + 4 * d + 4 * d * d + d
    positions = 32 * d if mixer == "attention" else 0
    assert model.count_params() == 2 * block + 20 * d + positions + 2 * d


@pytest.mark.parametrize("mixer", ["h3", "s4d", "attention"])
def test_the_systems_do_not_decay(mixer):
    model = H3Model(20, mixer=mixer, window=32)
    model.build((None, None))
    optimizer = keras.optimizers.AdamW(weight_decay=1.0)
    optimizer.exclude_from_weight_decay(var_names=model.no_decay)
    kept = {id(x) for x in model.trainable_variables if not optimizer._use_weight_decay(x)}
    names = {
        "h3": ("log_step", "log_decay", "frequency", "write", "shift_write"),
        "s4d": ("log_step", "log_decay", "frequency"),
        "attention": (),
    }[mixer]
    assert kept == {id(getattr(one, name)) for one in model.mixers for name in names}


def test_initialised_as_gpt2():
    keras.utils.set_random_seed(0)
    model = H3Model(20, 64, num_layers=2, mixer="attention")
    model.build((None, None))
    attention, mlp = model.mixers[0], model.mlps[0]
    for weight, stddev in (
        (model.embedding.embeddings, 0.02),
        (attention.kernel, 0.02),
        (attention.output_kernel, 0.01),
        (mlp.expand.kernel, 0.02),
        (mlp.contract.kernel, 0.01),
    ):
        assert array(weight).std() == pytest.approx(stddev, rel=0.1)
    assert np.abs(array(model.mixers[0].kernel) - array(model.mixers[1].kernel)).max() > 0.01


def test_learning_rates():
    cosine, line = Annealed(1.0, 100, 10, "cosine"), Annealed(1.0, 100, 10, "linear")
    got = [[float(array(rate(step))) for step in (0, 5, 10, 55, 100)] for rate in (cosine, line)]
    fall = [0.1 + 0.45 * (1 + math.cos(math.pi * t)) for t in (0.1, 0.55, 1)]
    np.testing.assert_allclose(got[0], [0, 0.5, *fall], atol=1e-6)
    np.testing.assert_allclose(got[1], [0, 0.5, 1, 0.5, 0], atol=1e-6)
    assert type(cosine).from_config(cosine.get_config()).get_config() == cosine.get_config()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: S4D(0), "units.*0"),
        (lambda: S4D(4, state_dim=5), "state_dim.*5"),
        (lambda: H3(4, initialisation="legs"), "initialisation.*legs"),
        (lambda: H3(4, discretisation="dss"), "`discretisation` must be.*'dss'"),
        (lambda: H3(4, head_dim=3), "head_dim.*3"),
        (lambda: H3Model(4, mixer="gss"), "mixer.*gss"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
