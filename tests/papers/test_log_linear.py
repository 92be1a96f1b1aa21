"""Log-linear attention: its equations in NumPy, its levels, its bases, how many memories it has."""

from pathlib import Path

import numpy as np
import pytest
from keras import ops

from common.models import count_parameters
from common.ops.fenwick import count_before, level
from common.ops.log_linear import log_linear_delta_rule
from common.reproduce.execute.run import Run
from common.reproduce.judge.reported import load_reported
from papers.delta_net import DeltaNet
from papers.log_linear import LogLinearDeltaNet, LogLinearLM, LogLinearMamba2
from papers.log_linear.experiments import memories
from papers.log_linear.model import SIZES
from papers.mamba2 import Mamba2
from tests.contract.papers import APART, HEADS, SIZE, ModelSubject, PaperContract
from tests.helpers.arrays import array, convolve, drawn, sigmoid, silu, unit

CONTRACT = PaperContract(
    kernels={
        "log_linear-mamba2": [(1, 3, 24), (1, 8, 4), (1, 3, 12)],
        "log_linear-delta-net": [
            (1, 3, 22), (1, 6, 6), (1, 3, 2), (1, 3, 2), (1, 3, 6), (1, 3, 12)
        ],
    },
    models=(
        ModelSubject(
            "log_linear",
            LogLinearLM,
            {**SIZE, "num_layers": 1, "num_heads": 4, "key_dim": 3, "value_dim": 4}
            | {"num_levels": 4, "hidden_units": 6},
            APART
            | {"num_heads": 2, "key_dim": 3, "value_dim": 5, "memory": "delta-net"}
            | {"num_levels": 3, "kernel_size": 3, "hidden_units": 6, "chunk_size": 4}
            | {"form": "recurrent"},
        ),
    ),
    other_arguments={
        "LogLinearMamba2": [
            {"units": 4, "num_levels": 3, "state_dim": 3, "head_dim": 3, "num_groups": 2}
            | {"kernel_size": 3, "expansion": 3, "chunk_size": 2, "num_layers": 5}
            | {"epsilon": 1e-3, "use_bias": True, "use_conv_bias": False}
        ],
        "LogLinearDeltaNet": [
            HEADS
            | {"num_levels": 3, "kernel_size": 3, "negative_eigenvalues": True, "gated": False}
            | {"chunk_size": 2, "epsilon": 1e-2}
        ],
    },
    corners={
        # Groups, and the fewest levels: the step itself, and all before it.
        "log_linear-mamba2": [{"head_dim": 2, "num_groups": 2, "num_levels": 2}],
    },
)  # fmt: skip


def fenwick_level(t, s):
    """Of step s as step t sees it, by taking off the lowest bits of t (section 3.1)."""
    end = t
    while s < t:
        size = end & -end
        if end - size <= s:
            return size.bit_length()
        end -= size
    return 0


def test_levels_are_the_trees():
    steps = np.arange(70, dtype="int32")
    got = array(level(ops.convert_to_tensor(steps[:, None]), ops.convert_to_tensor(steps), 8))
    for t in steps:
        want = [fenwick_level(int(t), int(s)) for s in range(t + 1)]
        np.testing.assert_array_equal(got[t, : t + 1], want)
        sizes = np.bincount(want)
        # The step itself, and the powers of two that its number is made of.
        assert sizes[0] == 1 and np.count_nonzero(sizes) == 1 + bin(t).count("1")
        assert all(size in (0, 2**i) for i, size in enumerate(sizes[1:]))
    fewer = array(level(ops.convert_to_tensor(steps[:, None]), ops.convert_to_tensor(steps), 4))
    np.testing.assert_array_equal(fewer, np.minimum(got, 3))


def test_counts_leave_out_masked_steps_and_start_again():
    x = np.zeros((2, 6, 1))
    mask = np.array([[1, 0, 1, 1, 0, 1], [1, 1, 1, 1, 1, 1]], bool)
    reset = np.array([[0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0]], bool)
    start = ops.convert_to_tensor(np.array([5, 0], "int32"))
    before, after = count_before(start, x, *map(ops.convert_to_tensor, (mask, reset)))
    np.testing.assert_array_equal(array(before), [[5, 6, 6, 0, 1, 1], [0, 1, 2, 3, 0, 1]])
    np.testing.assert_array_equal(array(after), [2, 2])


def transition(w, x, t, h, k, beta):
    step = np.log1p(np.exp(x[t] @ w["decay_kernel"][:, h] + w["decay_bias"][h]))
    decay = np.exp(-np.exp(w["log_rate"][h]) * step)
    return decay * (np.eye(k.shape[1]) - beta[t, h] * np.outer(k[t], k[t]))


def level_weights(w, x, heads):
    return np.log1p(np.exp((x @ w["level_kernel"]).reshape(len(x), heads, -1) * w["level_scale"]))


@pytest.mark.parametrize("form", LogLinearDeltaNet.forms)
@pytest.mark.parametrize("num_levels", [3, 5])
def test_delta_net_is_products_of_transitions(form, num_levels):
    heads, keys, values, length = 2, 3, 4, 13
    layer = LogLinearDeltaNet(
        5, heads, num_levels, kernel_size=3, chunk_size=4, form=form, key_dim=keys,
        value_dim=values, dtype="float64",
    )  # fmt: skip
    x = np.random.default_rng(1).standard_normal((1, length, 6))
    layer, w = drawn(layer, x)
    got, x = array(layer(x))[0], x[0]
    qkv = silu(convolve(x @ w["kernel"], w["conv_kernel"]))
    beta, weights = sigmoid(x @ w["strength_kernel"]), level_weights(w, x, heads)
    want = np.zeros((length, heads, values))
    for h in range(heads):
        q = unit(qkv[:, h * keys : (h + 1) * keys]) / np.sqrt(keys)
        k = unit(qkv[:, (heads + h) * keys : (heads + h + 1) * keys])
        v = qkv[:, 2 * heads * keys :][:, h * values : (h + 1) * values]
        for t in range(length):
            o = np.zeros(values)
            for s in range(t + 1):
                written = beta[s, h] * np.outer(k[s], v[s])
                for later in range(s + 1, t + 1):
                    written = transition(w, x, later, h, k, beta) @ written
                weight = weights[t, h, min(fenwick_level(t, s), num_levels - 1)]
                o += weight * written.T @ q[t]
            want[t, h] = o / np.sqrt((o * o).mean() + 1e-5) * w["norm_scale"]
    want = want.reshape(length, -1) * silu(x @ w["gate_kernel"]) @ w["output_kernel"]
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("num_levels", [2, 6])
@pytest.mark.parametrize(
    ("cls", "base", "arguments"),
    [
        (LogLinearMamba2, Mamba2, {"state_dim": 3, "head_dim": 2, "num_groups": 2}),
        (LogLinearDeltaNet, DeltaNet, {"num_heads": 2, "gated": True}),
        (LogLinearDeltaNet, DeltaNet, {"num_heads": 2, "gated": False, "kernel_size": None}),
    ],
)
def test_with_weights_of_1_it_is_its_base(cls, base, arguments, num_levels):
    x = np.random.default_rng(0).standard_normal((2, 21, 4))
    x[..., 0] = 1
    layer, _ = drawn(cls(6, num_levels=num_levels, chunk_size=4, dtype="float64", **arguments), x)
    same, _ = drawn(base(6, chunk_size=4, dtype="float64", **arguments), x)
    named = {weight.name: weight for weight in layer.weights}
    for weight in same.weights:
        named[weight.name].assign(weight)
    one = np.zeros(layer.level_kernel.shape)
    one[0] = np.log(np.e - 1)  # whose softplus is 1
    layer.level_kernel.assign(one)
    layer.level_scale.assign(np.ones(layer.level_scale.shape))
    want, state = same(x, return_state=True)
    for form in layer.forms:
        layer.form = form
        got, levels = layer(x, return_state=True)
        np.testing.assert_allclose(array(got), array(want), rtol=1e-9, atol=1e-12)
        memory = array(levels[layer.memory])
        np.testing.assert_allclose(memory.sum(axis=2), array(state[layer.memory]), atol=1e-12)
        there = (memory != 0).any(axis=(1, 3, 4))
        assert num_levels == 2 or there.tolist() == 2 * [[True, False, True, False, True]]  # of 21


def test_memories_are_as_many_as_ones_in_the_count(tmp_path):
    result = memories(Run(variant="v", preset="cpu", seed=0, dir=tmp_path), length=64)
    assert result == {"most": 7.0, "kept": 6.0}  # 63 has six ones; log2(64) + 1


def test_parameters_of_the_papers_models():
    reported = load_reported(Path("papers/log_linear/reported.csv"))
    counts = {
        name: count_parameters(lambda size=size: LogLinearLM(**size))
        for name, size in SIZES.items()
    }
    for name, count in counts.items():
        assert count / 1e6 == pytest.approx(reported[f"parameters-{name}"].value, rel=0.002)
    # A kernel and a scale a head and level, of 15 levels in 21 layers.
    for base, heads in (("mamba2", 48), ("delta-net", 6)):
        assert counts[f"log-linear-{base}"] - counts[base] == 21 * 15 * heads * (1536 + 1)


def operands(**changed):
    shapes = {"q": (1, 3, 2, 4), "k": (1, 3, 2, 4), "v": (1, 3, 2, 5)}
    shapes |= {"log_decay": (1, 3, 2), "beta": (1, 3, 2), "weights": (1, 3, 2, 4)}
    return {name: np.zeros(shape) for name, shape in (shapes | changed).items()}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogLinearMamba2(4, num_levels=1, head_dim=4), "num_levels.*from 2 to 31.*1"),
        (lambda: LogLinearDeltaNet(4, 2, num_levels=32), "num_levels.*from 2 to 31.*32"),
        (lambda: LogLinearLM(9, 8, 1, 3, 3, 4), "units.*divisor.*12.*8"),
        (lambda: LogLinearLM(9, 8, 1, 2, 3, 4, memory="gla"), "memory.*'gla'"),
        (lambda: log_linear_delta_rule(**operands(beta=(1, 3, 1))), "`beta`.*2 heads"),
        (lambda: log_linear_delta_rule(**operands(weights=(1, 3, 2, 1))), "`weights`.*2 to 31"),
        (lambda: log_linear_delta_rule(**operands(), chunk_size=0), "`chunk_size`.*0"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
