"""Kimi delta attention: its equations in NumPy, its reductions, where its decays start."""

import keras
import numpy as np
import pytest

from common.tasks.mqar import MQAR
from papers.delta_net import DeltaNet
from papers.kimi_delta import KimiDelta, KimiDeltaLM
from papers.kimi_delta.experiments import FadingKimiDeltaLM
from papers.kimi_delta.model import SIZES
from tests.contract.papers import APART, HEADS, SIZE, ModelSubject, PaperContract, without
from tests.helpers.arrays import array, convolve, drawn, sigmoid, silu, unit

CONTRACT = PaperContract(
    kernels={
        "kimi_delta-kimi-delta": [
            (1, 3, 22),
            (1, 3, 3),
            (1, 3, 8),
            (1, 3, 3),
            (1, 3, 6),
            (1, 3, 2),
            (1, 6, 6),
        ],
    },
    models=(
        ModelSubject(
            "kimi_delta",
            KimiDeltaLM,
            {**SIZE, "num_layers": 1, "num_heads": 2, "hidden_units": 6},
            without(APART, "epsilon")
            | {"num_heads": 2, "head_dim": 3, "hidden_units": 6, "kernel_size": 3, "rank": 2}
            | {"channel_gates": True, "chunk_size": 4, "form": "recurrent"},
        ),
        ModelSubject(
            "gated_delta_net_2",
            KimiDeltaLM,
            {**SIZE, "num_layers": 1, "num_heads": 2, "hidden_units": 6, "channel_gates": True},
        ),
    ),
    other_arguments={
        "KimiDelta": [
            HEADS
            | {"kernel_size": 3, "rank": 2, "channel_gates": True, "chunk_size": 2}
            | {"epsilon": 1e-2}
        ],
    },
    corners={
        "kimi_delta-kimi-delta": [
            {"num_heads": 1, "kernel_size": 2},
            {"kernel_size": None, "channel_gates": True},
        ],
    },
)


@pytest.mark.parametrize(("kernel_size", "channel_gates"), [(3, False), (None, True)])
def test_layer_is_the_papers_equations(kernel_size, channel_gates):
    """Eq. 1 and 10, and those of Gated DeltaNet-2, with the transition written out."""
    heads, keys, values, length = 2, 3, 4, 7
    layer = KimiDelta(
        5, heads, kernel_size, 2, channel_gates, key_dim=keys, value_dim=values, use_bias=True,
        dtype="float64",
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((1, length, 6))
    layer, w = drawn(layer, x)
    x = x[0]
    projected = x @ w["kernel"] + w["bias"]
    if kernel_size is not None:
        projected = convolve(projected, w["conv_kernel"])
    parts = np.split(silu(projected), [heads * keys, 2 * heads * keys], axis=1)
    q, k, v = (part.reshape(length, heads, -1) for part in parts)
    q, k = unit(q) / np.sqrt(keys), unit(k)
    step = x @ w["decay_in_kernel"] @ w["decay_kernel"] + w["decay_bias"]
    step = np.log1p(np.exp(step)).reshape(length, heads, keys)
    decay = np.exp(-np.exp(w["log_rate"])[:, None] * step)
    if channel_gates:
        erase = sigmoid(x @ w["erase_kernel"]).reshape(length, heads, keys)
        write = sigmoid(x @ w["write_kernel"]).reshape(length, heads, values)
    else:
        erase = write = sigmoid(x @ w["strength_kernel"])[..., None]
    want = np.zeros((length, heads, values))
    for h in range(heads):
        memory = np.zeros((keys, values))
        for t in range(length):
            forgotten = np.diag(decay[t, h]) @ memory
            erased = np.eye(keys) - np.outer(k[t, h], erase[t, h] * k[t, h])
            memory = erased @ forgotten + np.outer(k[t, h], write[t, h] * v[t, h])
            o = memory.T @ q[t, h]
            want[t, h] = o / np.sqrt((o * o).mean() + 1e-5) * w["norm_scale"]
    gate = sigmoid(x @ w["gate_in_kernel"] @ w["gate_kernel"])
    want = (want.reshape(length, -1) * gate) @ w["output_kernel"] + w["output_bias"]
    for form in layer.forms:
        layer.form = form
        np.testing.assert_allclose(array(layer(x[None]))[0], want, rtol=1e-9, atol=1e-11)


def pair(first, second, x):
    """Two built layers; the second has the first one's random weights where they are alike."""
    first, weights = drawn(first, x)
    second.build(x.shape)
    for weight in second.weights:
        same = weights.get(weight.name)
        if same is not None and same.shape == tuple(weight.shape):
            weight.assign(same)
    return first, second, weights


INPUTS = np.random.default_rng(0).standard_normal((2, 9, 3))
SETTINGS = {"key_dim": 4, "dtype": "float64"}


@pytest.mark.parametrize("form", KimiDelta.forms)
def test_with_one_number_for_all_gates_gated_delta_net_2_is_kimi_delta(form):
    kimi, other, weights = pair(
        KimiDelta(6, 2, form=form, **SETTINGS),
        KimiDelta(6, 2, channel_gates=True, form=form, **SETTINGS),
        INPUTS,
    )
    for name, size in (("erase_kernel", 4), ("write_kernel", 3)):
        getattr(other, name).assign(np.repeat(weights["strength_kernel"], size, axis=1))
    np.testing.assert_allclose(array(other(INPUTS)), array(kimi(INPUTS)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", KimiDelta.forms)
def test_with_one_decay_a_head_the_memory_is_gated_delta_nets(form):
    """Their outputs' gates differ."""
    gated, kimi, weights = pair(
        DeltaNet(6, 2, gated=True, form=form, **SETTINGS),
        KimiDelta(6, 2, rank=2, form=form, **SETTINGS),
        INPUTS,
    )
    kimi.decay_in_kernel.assign(weights["decay_kernel"])
    kimi.decay_kernel.assign(np.kron(np.eye(2), np.ones((1, 4))))
    kimi.decay_bias.assign(np.repeat(weights["decay_bias"], 4))
    got, want = (array(x(INPUTS, return_state=True)[1]["memory"]) for x in (kimi, gated))
    np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("form", KimiDelta.forms)
def test_with_gates_of_one_it_is_delta_net(form):
    delta_net, kimi, _ = pair(
        DeltaNet(6, 2, form=form, **SETTINGS), KimiDelta(6, 2, form=form, **SETTINGS), INPUTS
    )
    kimi.decay_bias.assign(np.full(8, -100.0))
    kimi.decay_kernel.assign(np.zeros((3, 8)))
    kimi.gate_kernel.assign(np.zeros((3, 6)))  # of the output, then a half
    np.testing.assert_allclose(
        2 * array(kimi(INPUTS)), array(delta_net(INPUTS)), rtol=1e-11, atol=1e-12
    )


def test_decays_start_where_the_authors_code_has_them():
    keras.utils.set_random_seed(0)
    layer = KimiDelta(256, 64)
    layer.build((None, None, 4))
    rate, bias = np.exp(array(layer.log_rate)), array(layer.decay_bias)
    step = np.log1p(np.exp(bias))
    assert rate.shape == (64,) and step.shape == (256,)
    assert 1 <= rate.min() < 3 and 14 < rate.max() <= 16
    assert step.min() * (1 + 1e-4) >= 1e-3 and step.max() <= 0.1 * (1 + 1e-4)
    assert np.median(np.log10(step)) == pytest.approx(-2, abs=0.2)


def test_the_model_of_the_synthetic_tasks():
    """Layers as in section 5.1; the ablated one differs in the decays' biases alone."""
    settings = {**SIZES["synthetic"], "hidden_units": 512}
    task = MQAR(vocabulary_size=20, length=16, num_pairs=3)
    made = []
    for make in (KimiDeltaLM, FadingKimiDeltaLM):
        keras.utils.set_random_seed(0)
        made.append(make(vocabulary_size=task.vocabulary_size, **settings))
        made[-1].build((None, None))
    inputs = 256 * (3 * 256 + 2 + 128 + 128) + 128 * 512 + 4 * 768 + 256 * 256 + 2 + 256 + 128
    assert made[0].count_params() == 2 * (inputs + 3 * 256 * 512 + 512) + 2 * 20 * 256 + 256
    for one, other in zip(*(model.weights for model in made), strict=True):
        if one.path.endswith("decay_bias"):
            np.testing.assert_array_equal(array(other), 0)
            assert array(one).max() < -2
        else:
            np.testing.assert_array_equal(array(other), array(one))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_size": 1}, "kernel_size.*1"),
        ({"rank": 0}, "rank.*0"),
        ({"channel_gates": 1}, "channel_gates.*1"),
        ({"chunk_size": 3}, "chunk_size.*3"),
        ({"epsilon": 0}, "epsilon.*0"),
    ],
)
def test_bad_arguments_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        KimiDelta(4, 2, **settings)
