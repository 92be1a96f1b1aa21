"""Gated linear attention: re-derived in NumPy, its gates, its model, its sizes."""

import keras
import numpy as np
import pytest

from common.models import count_parameters
from papers.gla import GLA, GatedLinearAttention
from papers.gla.model import SIZES
from tests.contract.papers import APART, HEADS, SIZE, ModelSubject, PaperContract
from tests.helpers.arrays import array, drawn, sigmoid

CONTRACT = PaperContract(
    kernels={
        "gla-gated-linear-attention": [(1, 5, 16), (1, 5, 8), (1, 5, 3), (1, 3, 4), (1, 8, 8)],
    },
    models=(
        ModelSubject(
            "gla",
            GLA,
            {**SIZE, "num_layers": 1, "num_heads": 2, "hidden_units": 6},
            APART | {"num_heads": 2, "hidden_units": 6, "form": "recurrent"},
        ),
    ),
    other_arguments={
        "GatedLinearAttention": [HEADS | {"gate_rank": 3, "temperature": 2.0, "chunk_size": 2}],
    },
    corners={
        "gla-gated-linear-attention": [{"num_heads": 1}],
    },
)


@pytest.mark.parametrize("form", GatedLinearAttention.forms)
def test_layer_is_the_papers_equations(form):
    x = np.random.default_rng(1).standard_normal((2, 9, 5))
    layer = GatedLinearAttention(8, num_heads=2, gate_rank=3, form=form, dtype="float64")
    layer, w = drawn(layer, x)
    keys, values = 2, 4
    got, state = layer(x, return_state=True)
    q, k, v = np.split(x @ w["kernel"], (2 * keys, 4 * keys), axis=-1)
    alpha = sigmoid(x @ w["decay_in_kernel"] @ w["decay_kernel"] + w["decay_bias"]) ** (1 / 16)
    r = x @ w["gate_kernel"]
    r = r * sigmoid(r)
    want, memories = np.zeros((2, 9, 8)), np.zeros((2, 2, keys, values))
    for b in range(2):
        for h in range(2):
            of_keys, of_values = (
                slice(h * keys, (h + 1) * keys),
                slice(h * values, (h + 1) * values),
            )
            S = np.zeros((keys, values))
            for t in range(9):
                S = np.diag(alpha[b, t, of_keys]) @ S + np.outer(
                    k[b, t, of_keys], v[b, t, of_values]
                )
                o = q[b, t, of_keys] @ S / keys**0.5
                o = o / np.sqrt(np.mean(o**2) + 1e-5) * w["norm_scale"]
                want[b, t, of_values] = r[b, t, of_values] * o
            memories[b, h] = S
    np.testing.assert_allclose(array(got), want @ w["output_kernel"], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(array(state["memory"]), memories, rtol=1e-9)


def test_the_temperature_keeps_the_gates_close_to_one():
    inputs = keras.random.normal((2, 7, 16), seed=0)
    gates = []
    for temperature in (16.0, 1.0):
        keras.utils.set_random_seed(0)
        layer = GatedLinearAttention(16, 2, temperature=temperature)
        layer.build(inputs.shape)
        gates.append(np.exp(array(layer.features(inputs)["log_decay"])))
    assert gates[0].shape == (2, 7, 2, 4)
    np.testing.assert_allclose(gates[0], gates[1] ** (1 / 16), rtol=1e-5)
    assert 0.9 < gates[0].min() < gates[0].max() < 1 and gates[1].max() < 0.6


@pytest.mark.parametrize(("size", "published"), [("340M", 340e6), ("1.3B", 1.3e9)])
def test_parameters_are_the_published_number(size, published):
    """The paper's table 2 names the sizes: "340M Params", "1.3B Params"."""
    units, layers = SIZES[size]["units"], SIZES[size]["num_layers"]
    head = units // 4
    attention = 4 * units**2 + 16 * (units + units // 2) + units // 2 + head
    network = 3 * units * (-(-8 * units // 3 // 256) * 256)
    blocks = layers * (attention + network + 2 * units) + units
    counted = count_parameters(lambda: GLA(**SIZES[size]))
    assert counted == blocks + 32000 * units
    assert abs(counted / published - 1) < 0.01


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch is not compiled here")
@pytest.mark.parametrize("temperature", [16.0, 0.01])  # products of gates above exp(-40), below
def test_trains_under_xla_with_a_last_batch_of_one(temperature):
    inputs = np.random.default_rng(0).standard_normal((5, 12, 8)).astype("float32")
    weights = []
    for form in GatedLinearAttention.forms:
        keras.utils.set_random_seed(0)
        layer = GatedLinearAttention(8, 2, temperature=temperature, chunk_size=8, form=form)
        model = keras.Sequential([keras.Input((None, 8)), layer])
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=True)
        model.fit(inputs, inputs, batch_size=4, shuffle=False, verbose=0)
        weights.append(layer.get_weights())
    for chunkwise, recurrent in zip(*weights, strict=True):
        np.testing.assert_allclose(chunkwise, recurrent, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX's symbolic sizes")
def test_exports_with_a_free_batch_and_length():
    import jax
    from jax import export

    layer = GatedLinearAttention(8, 2, chunk_size=8)
    layer.build((None, None, 8))
    shape = (*export.symbolic_shape("b, t", constraints=("t >= 1",)), 8)
    exported = export.export(jax.jit(layer))(jax.ShapeDtypeStruct(shape, "float32"))
    inputs = np.random.default_rng(0).standard_normal((2, 13, 8)).astype("float32")
    np.testing.assert_allclose(array(exported.call(inputs)), array(layer(inputs)), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GatedLinearAttention(12, num_heads=4), "units.*8.*12"),
        (lambda: GatedLinearAttention(8, gate_rank=0), "gate_rank.*0"),
        (lambda: GatedLinearAttention(8, chunk_size=48), "chunk_size.*48"),
        (lambda: GatedLinearAttention(8, temperature=0), "temperature.*0"),
        (lambda: GatedLinearAttention(8, form="parallel"), "form.*parallel"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
