"""DeltaNet: its equations re-derived in NumPy, its models and their sizes."""

import keras
import numpy as np
import pytest

from common.models import count_parameters
from common.reproduce import Run
from common.tasks.mad import MADRecall
from papers.delta_net import DeltaNet, DeltaNetLM
from papers.delta_net.experiments import negative, positive
from papers.delta_net.mad import mad
from papers.delta_net.model import SIZES
from tests.contract.papers import APART, HEADS, SIZE, ModelSubject, PaperContract, without
from tests.helpers.arrays import array, convolve, sigmoid, silu, unit

CONTRACT = PaperContract(
    kernels={
        "delta_net-delta-net": [(1, 3, 22), (1, 3, 2), (1, 6, 6)],
        "delta_net-gated-delta-net": [(1, 3, 22), (1, 3, 2), (1, 3, 2), (1, 3, 6), (1, 6, 6)],
    },
    models=(
        ModelSubject(
            "delta_net",
            DeltaNetLM,
            {**SIZE, "num_layers": 1, "num_heads": 2, "hidden_units": 6},
            without(APART, "epsilon")
            | {"hidden_units": 6, "kernel_size": 3, "negative_eigenvalues": True, "gated": True}
            | {"chunk_size": 4, "form": "recurrent"},
        ),
    ),
    other_arguments={
        "DeltaNet": [
            HEADS
            | {"kernel_size": 3, "negative_eigenvalues": True, "gated": True}
            | {"chunk_size": 2, "epsilon": 1e-2}
        ],
    },
    corners={
        "delta_net-gated-delta-net": [{"num_heads": 1, "kernel_size": 2}],
    },
)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("negative_eigenvalues", [False, True])
@pytest.mark.parametrize("kernel_size", [None, 3])
def test_layer_is_the_papers_equations(kernel_size, negative_eigenvalues, gated):
    heads, keys, values = 2, 3, 4
    layer = DeltaNet(
        5, heads, kernel_size, negative_eigenvalues, gated, key_dim=keys, value_dim=values,
        use_bias=True, dtype="float64",
    )  # fmt: skip
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 9, 6))
    layer.build(x.shape)
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.weights])
    w = dict(zip([w.name for w in layer.weights], layer.get_weights(), strict=True))
    want = np.zeros((2, 9, heads * values))
    for b in range(2):
        qkv = x[b] @ w["kernel"] + w["bias"]
        qkv = silu(qkv if kernel_size is None else convolve(qkv, w["conv_kernel"]))
        beta = (2 if negative_eigenvalues else 1) * sigmoid(x[b] @ w["strength_kernel"])
        for h in range(heads):
            q = unit(qkv[:, h * keys : (h + 1) * keys]) / np.sqrt(keys)
            k = unit(qkv[:, (heads + h) * keys : (heads + h + 1) * keys])
            v = qkv[:, 2 * heads * keys :][:, h * values : (h + 1) * values]
            alpha = np.ones(9)
            if gated:
                step = np.log1p(np.exp(x[b] @ w["decay_kernel"][:, h] + w["decay_bias"][h]))
                alpha = np.exp(-np.exp(w["log_rate"][h]) * step)
            memory = np.zeros((values, keys))  # the paper's S, V x K
            for t in range(9):
                forget = np.eye(keys) - beta[t, h] * np.outer(k[t], k[t])
                memory = alpha[t] * memory @ forget + beta[t, h] * np.outer(v[t], k[t])
                o = memory @ q[t]
                o = o / np.sqrt((o * o).mean() + 1e-5) * w["norm_scale"]
                if gated:
                    o = o * silu(x[b, t] @ w["gate_kernel"][:, h * values : (h + 1) * values])
                want[b, t, h * values : (h + 1) * values] = o
    want = want @ w["output_kernel"] + w["output_bias"]
    for form in layer.forms:
        layer.form = form
        np.testing.assert_allclose(array(layer(x)), want, rtol=1e-9, atol=1e-11)


def test_eigenvalues_of_the_transition():
    """Without input to write, the memory along the key is scaled by 1 - beta."""
    for negative_eigenvalues, low in ((False, 0.0), (True, -1.0)):
        layer = DeltaNet(2, 1, None, negative_eigenvalues, dtype="float64")
        layer.build((None, None, 2))
        kernel = np.zeros((2, 6))
        kernel[0, 2] = 50.0  # the key is (1, 0), the value 0
        layer.kernel.assign(kernel)
        layer.strength_kernel.assign([[0.0], [50.0]])
        state = {"memory": np.ones((1, 1, 2, 2))}
        for gain, want in ((-1.0, 1.0), (1.0, low)):
            _, new = layer.step(np.array([[1.0, gain]]), state)
            np.testing.assert_allclose(array(new["memory"])[0, 0], [[want] * 2, [1, 1]], atol=1e-6)


def test_one_layer_by_hand_computes_parity_only_with_negative_eigenvalues():
    """A memory that a one flips and a zero leaves alone: its sign is the parity."""
    bits = np.random.default_rng(0).integers(0, 2, size=(1, 200))
    parity = bits.cumsum(1) % 2
    for negative_eigenvalues in (False, True):
        layer = DeltaNet(1, 1, None, negative_eigenvalues, dtype="float64")
        layer.build((None, None, 2))
        kernel = np.zeros((2, 3))
        kernel[0, :2] = 50.0  # query and key are 1 at every step
        layer.kernel.assign(kernel)
        layer.output_kernel.assign([[1.0]])
        layer.strength_kernel.assign([[-50.0], [100.0]])  # beta is 0 at a zero
        x = np.stack([np.ones_like(bits), bits], -1).astype("float64")
        got = array(layer(x, initial_state={"memory": np.ones((1, 1, 1, 1))}))[..., 0]
        assert np.array_equal(got < -0.5, parity == 1) == negative_eigenvalues


def test_gates_start_in_mamba_2s_ranges():
    keras.utils.set_random_seed(0)
    layer = DeltaNet(2, 1000, gated=True, key_dim=1, value_dim=1)
    layer.build((None, None, 2))
    rates, step = np.exp(array(layer.log_rate)), np.log1p(np.exp(array(layer.decay_bias)))
    assert rates.min() >= 0 and rates.max() <= 16 and 7 < rates.mean() < 9
    assert step.min() >= 0.99e-3 and step.max() <= 0.101
    assert np.exp(np.log(step).mean()) == pytest.approx(1e-2, rel=0.15)  # log-uniform


def test_parameters_of_the_papers_models():
    # Of the authors' checkpoint fla-hub/delta_net-1.3B-100B (reported.csv, parameters-1.3B).
    assert count_parameters(lambda: DeltaNetLM(**SIZES["1.3B"])) == 1_365_677_056
    # 340M is named without the logits' kernel.
    count = count_parameters(lambda: DeltaNetLM(**SIZES["340M"]))
    mixer = 4 * 1024**2 + 1024 * 8 + 3 * 4 * 1024 + 128
    block = mixer + 3 * 1024 * 2816 + 2 * 1024
    assert count == 24 * block + 2 * 32000 * 1024 + 1024
    assert abs(count - 32000 * 1024 - 340e6) < 0.01 * 340e6


def test_variants_differ_in_the_range_of_beta_only():
    settings = {"units": 8, "num_layers": 2, "num_heads": 2, "hidden_units": 0}
    first, second = (make(3, **settings, name="same") for make in (positive, negative))
    assert not any(mixer.negative_eigenvalues for mixer in first.mixers)
    assert all(mixer.negative_eigenvalues for mixer in second.mixers)
    want = {**first.get_config(), "negative_eigenvalues": True}
    assert second.get_config() == want


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 1}, "kernel_size.*1"),
        ({"kernel_size": 0}, "kernel_size.*0"),
        ({"chunk_size": 0}, "chunk_size.*0"),
        ({"num_heads": 3}, "num_heads.*units"),
        ({"form": "parallel"}, "form.*parallel"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DeltaNet(**{"units": 4, "num_heads": 2, **arguments})


def test_mad_tests_the_best_of_its_learning_rates(tmp_path):
    """The accuracy of the answers by the model that is left, in percent."""
    run = Run(variant="delta_net", preset="cpu", seed=0, dir=tmp_path, data_dir=tmp_path / "data")
    result = mad(
        run,
        task="recall",
        task_settings={"vocabulary_size": 4, "length": 12},
        mixer="papers.delta_net:DeltaNet",
        mixer_settings={"num_heads": 1},
        units=8,
        num_layers=1,
        hidden_units=8,
        batch_size=8,
        steps=20,
        learning_rates=[1e-9, 3e-2],
        weight_decay=0.0,
        eval_every=10,
        eval_size=32,
        test_size=32,
        stop_accuracy=101.0,
    )
    assert result["learning_rate"] == 3e-2 and result["updates"] in (10, 20)
    test = MADRecall(vocabulary_size=4, length=12).batch(32, 0, 0, "test")
    model = keras.saving.load_model(tmp_path / "model.keras")
    named = array(model(test["inputs"])).argmax(-1)
    asked = test["weights"] > 0
    np.testing.assert_allclose(
        result["accuracy"], 100 * (named == test["targets"])[asked].mean(), rtol=1e-6
    )
