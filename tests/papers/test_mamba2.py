"""Mamba-2: re-derived in NumPy, state space duality, its initial values, its model, its sizes."""

import keras
import numpy as np
import pytest
from keras import ops

from common.models import count_parameters
from common.ops.selective_scan import fused_selective_scan, recurrent_selective_scan
from common.reproduce.execute.run import Run
from papers.mamba2 import Mamba2, Mamba2LM, experiments
from papers.mamba2.model import SIZES
from tests.contract.papers import APART, SIZE, ModelSubject, PaperContract, mlps
from tests.helpers.arrays import array, drawn

CONTRACT = PaperContract(
    kernels={
        "mamba2-mamba2": [(1, 3, 24), (1, 8, 4)],
    },
    models=(
        ModelSubject(
            "mamba2",
            Mamba2LM,
            {**SIZE, "num_layers": 1, "state_dim": 4, "head_dim": 4, "num_groups": 2},
            APART
            | {"state_dim": 4, "head_dim": 2, "kernel_size": 3, "expansion": 1, "num_groups": 2}
            | {"tie_embeddings": False, "form": "recurrent", "mlps": mlps()}
            | {"use_bias": True, "use_conv_bias": False},
        ),
    ),
    other_arguments={
        "Mamba2": [
            {"units": 4, "state_dim": 3, "head_dim": 3, "num_groups": 2, "kernel_size": 3}
            | {"expansion": 3, "chunk_size": 2, "num_layers": 5, "epsilon": 1e-3}
            | {"use_bias": True, "use_conv_bias": False}
        ],
    },
    corners={
        "mamba2-mamba2": [{"head_dim": 8}, {"head_dim": 2, "num_groups": 2}]
        + [{"use_bias": True, "use_conv_bias": False}],
    },
)


SMALL = {"state_dim": 3, "head_dim": 2, "dtype": "float64"}


def silu(x):
    return x / (1 + np.exp(-x))


def projections(x, w, layer):
    """z, x, B, C and Delta, convolved by hand."""
    inner, size = layer.inner_units, layer.num_groups * layer.state_dim
    z, xbc, dt = np.split(x @ w["kernel"], (inner, 2 * inner + 2 * size), axis=-1)
    padded = np.concatenate([np.zeros((3, xbc.shape[-1])), xbc])
    convolved = sum(padded[j : j + len(xbc)] * w["conv_kernel"][j] for j in range(4))
    X, B, C = np.split(silu(convolved + w["conv_bias"]), (inner, inner + size), axis=-1)
    delta = np.log1p(np.exp(dt + w["dt_bias"]))
    shape = (len(x), layer.num_groups, layer.state_dim)
    return z, X.reshape(len(x), -1, layer.head_dim), B.reshape(shape), C.reshape(shape), delta


def finish(y, z, w, num_groups=1):
    gated = (y.reshape(len(y), -1) * silu(z)).reshape(len(y), num_groups, -1)
    gated = gated / np.sqrt((gated**2).mean(-1, keepdims=True) + 1e-5)
    return gated.reshape(len(y), -1) * w["norm_scale"] @ w["output_kernel"]


@pytest.mark.parametrize("num_groups", [1, 2, 4])
@pytest.mark.parametrize("form", Mamba2.forms)
def test_layer_is_the_papers_recurrence(form, num_groups):
    x = np.random.default_rng(1).standard_normal((1, 9, 5))
    layer, w = drawn(Mamba2(4, num_groups=num_groups, form=form, **SMALL), x)
    assert layer.num_heads == 4
    z, X, B, C, delta = projections(x[0], w, layer)
    y = np.zeros_like(X)
    for h in range(4):
        group = h * num_groups // 4
        H = np.zeros((3, 2))
        for t in range(9):
            a = np.exp(-delta[t, h] * np.exp(w["a_log"][h]))
            H = a * H + delta[t, h] * np.outer(B[t, group], X[t, h])
            y[t, h] = H.T @ C[t, group] + w["skip"][h] * X[t, h]
    got, state = layer(x, return_state=True)
    want = finish(y, z, w, num_groups)
    np.testing.assert_allclose(array(got)[0], want, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(array(state["ssm"])[0, -1], H, rtol=1e-9)


def test_each_group_is_normalised_by_itself():
    """Two groups of one channel: each is its own root mean square, and normalised it is 1."""
    layer = Mamba2(1, state_dim=1, head_dim=1, num_groups=2, dtype="float64")
    layer.build((None, None, 1))
    layer.output_kernel.assign(np.ones((2, 1)))
    emitted = {"y": np.array([[[29.85, 6.27]]]), "z": np.ones((1, 1, 2))}
    got = layer.readout({name: ops.convert_to_tensor(x) for name, x in emitted.items()})
    np.testing.assert_allclose(array(got), [[[2.0]]], atol=1e-6)


def test_initial_decays_and_step_sizes():
    keras.utils.set_random_seed(0)
    layer = Mamba2(512, head_dim=1)
    layer.build((None, None, 8))
    decay, delta = np.exp(array(layer.a_log)), np.log1p(np.exp(array(layer.dt_bias)))
    assert 1 <= decay.min() < 1.2 and 15.8 < decay.max() <= 16
    assert abs(decay.mean() - 8.5) < 0.5
    assert delta.min() > 0.999e-3 and delta.max() <= 0.1001
    # The logarithms are uniform: their mean is known to log(100) / sqrt(12 * 1024), a few of which.
    assert abs(np.log(delta).mean() - np.log(1e-2)) < 4 * np.log(100) / np.sqrt(12 * 1024)
    assert np.all(array(layer.skip) == 1)


@pytest.mark.parametrize(("size", "published"), [("130M", 128_989_632), ("2.7B", 2_702_599_680)])
def test_parameters_are_those_of_the_released_models(size, published):
    """Counted from the shapes of the released checkpoints' configurations."""
    units, layers = SIZES[size]["units"], SIZES[size]["num_layers"]
    inner, heads, conv = 2 * units, 2 * units // 64, 2 * units + 256
    block = units * (inner + conv + heads) + 5 * conv + 3 * heads + inner + inner * units + units
    assert layers * block + units + 50288 * units == published
    assert count_parameters(lambda: Mamba2LM(**SIZES[size])) == published


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Mamba2(8, head_dim=5), "head_dim.*5"),
        (lambda: Mamba2(8, head_dim=4, num_groups=3), "num_groups.*3"),
        (lambda: Mamba2(8, head_dim=4, kernel_size=1), "kernel_size.*1"),
        (lambda: Mamba2(8, head_dim=4, chunk_size=48), "chunk_size.*48"),
        (lambda: Mamba2(8, state_dim=0, head_dim=4), "state_dim.*0"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_duality_is_compared_with_the_faster_scan(tmp_path, monkeypatch):
    seconds = {"scan": 0.006, "loop": 0.004, "duality": 0.002}
    monkeypatch.setattr(experiments, "measure_fastest", lambda make, samples: seconds)
    result = experiments.scan_speed(
        Run(variant="v", preset="cpu", seed=0, dir=tmp_path),
        lengths=[8],
        batch_size=1,
        num_heads=1,
        head_dim=2,
        state_dim=2,
        chunk_size=4,
        samples=3,
    )
    assert result["ratio"] == pytest.approx(2)
    assert result["loop_milliseconds"] == pytest.approx(4)


def test_the_scans_and_duality_are_the_same_function():
    inputs = experiments.draw(0, batch_size=1, length=12, num_heads=2, head_dim=2, state_dim=3)
    tensors = [ops.convert_to_tensor(x) for x in inputs[:5]]
    want = array(experiments._duality(2, chunk_size=4)(*tensors))
    for scan in (fused_selective_scan, recurrent_selective_scan):
        got = array(experiments._scan(scan, 2)(*tensors))
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
