"""sLSTM and mLSTM: re-derived in NumPy without stabiliser, their model, its published sizes."""

import csv
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import papers.xlstm
from common.models import count_parameters
from common.reproduce.execute.run import Run
from papers.xlstm import (
    LARGE_SIZES,
    MLSTM,
    SIZES,
    SLSTM,
    XLSTM,
    PostUpMLSTM,
    XLSTMLarge,
    block_pattern,
    experiments,
    from_pretrained,
    to_pretrained,
)
from papers.xlstm.pretrained import arguments_of, config_of, factor_of
from tests.contract.papers import APART, SIZE, ModelSubject, PaperContract, without
from tests.helpers.arrays import array, sigmoid, silu

CONTRACT = PaperContract(
    kernels={
        "xlstm-mlstm": [(1, 3, 16), *3 * [(2, 4, 4)], (1, 24, 4), (1, 8, 4)],
        "xlstm-post-up-mlstm": [(1, 3, 28), (1, 3, 4), (1, 6, 6)],
        "xlstm-slstm": [(2, 2, 12), (2, 3, 12)],
        "xlstm-slstm-exponential": [(2, 2, 8), (2, 2, 8)],
    },
    models=(
        ModelSubject(
            "xlstm",
            XLSTM,
            {**SIZE, "blocks": "ms", "num_heads": 2},
            without(APART, "norm", "norm_center", "embedding_stddev", "head_stddev")
            | {"num_heads": 2, "slstm_kernel_size": 2, "forget_gate": "exponential"}
            | {"recurrent_initializer": "orthogonal", "form": "recurrent"},
        ),
        ModelSubject(
            "xlstm-large",
            XLSTMLarge,
            {**SIZE, "num_layers": 2, "num_heads": 2, "hidden_units": 6},
            without(APART, "embedding_stddev", "head_stddev")
            | {"num_heads": 2, "key_dim": 3, "value_dim": 5, "hidden_units": 7, "gate_cap": 2.0}
            | {"chunk_size": 4, "form": "recurrent"},
        ),
    ),
    other_arguments={
        "MLSTM": [
            {"units": 6, "num_heads": 2, "expansion": 1, "kernel_size": 3, "block_size": 2}
            | {"forget_gate": "exponential", "num_layers": 3, "chunk_size": 2}
            | {"scan": "associative"}
        ],
        "PostUpMLSTM": [
            {"units": 6, "num_heads": 2, "key_dim": 4, "value_dim": 5, "gate_cap": 2.0}
            | {"epsilon": 1e-3, "num_layers": 3, "chunk_size": 2, "scan": "associative"}
        ],
        "SLSTM": [
            {
                "units": 6,
                "num_heads": 3,
                "kernel_size": 3,
                "forget_gate": "exponential",
                "depth": 0.5,
            }
            | {"recurrent_initializer": {"class_name": "RandomNormal", "config": {"stddev": 0.3}}}
        ],
    },
    corners={
        "xlstm-mlstm": [{"num_heads": 1, "kernel_size": 1}, {"scan": "associative"}],
        "xlstm-post-up-mlstm": [{"num_heads": 1, "gate_cap": None}, {"scan": "associative"}],
        "xlstm-slstm": [{"num_heads": 1, "kernel_size": 1}],
    },
    by_hand=("xlstm-post-up-mlstm",),
)


FORGET_GATES = {"sigmoid": sigmoid, "exponential": np.exp}


def built(layer, x, scale=1.0):
    """`layer` with random weights, and these by name."""
    layer.build(x.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([scale * rng.standard_normal(w.shape) for w in layer.weights])
    return dict(zip([w.name for w in layer.weights], layer.get_weights(), strict=True))


def convolved(x, weights):
    """`silu(conv(x))`, the kernel's last row at the current step."""
    kernel = weights["conv_kernel"]
    padded = np.concatenate([np.zeros((x.shape[0], len(kernel) - 1, x.shape[2])), x], axis=1)
    parts = [row * padded[:, j : j + x.shape[1]] for j, row in enumerate(kernel)]
    return silu(sum(parts) + weights["conv_bias"])


def by_blocks(x, kernel):
    """Block n of x times block n of the kernel."""
    size = kernel.shape[1]
    parts = [x[..., n * size : (n + 1) * size] @ block for n, block in enumerate(kernel)]
    return np.concatenate(parts, axis=-1)


def group_norm(h, heads, scale, epsilon=1e-5):
    parts = np.split(h, heads, axis=-1)
    parts = [(p - p.mean(-1, keepdims=True)) / np.sqrt(p.var(-1, keepdims=True) + epsilon)
             for p in parts]  # fmt: skip
    return np.concatenate(parts, axis=-1) * scale


@pytest.mark.parametrize("forget_gate", FORGET_GATES)
@pytest.mark.parametrize("form", MLSTM.forms)
def test_mlstm_is_the_papers_equations(form, forget_gate):
    """Equations 19-26 as they stand, without m, in the block of figure 11."""
    layer = MLSTM(
        6, num_heads=2, kernel_size=3, block_size=2, forget_gate=forget_gate, chunk_size=4,
        form=form, dtype="float64",
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((2, 9, 5))
    weights = built(layer, x, scale=0.5)
    inner, gate = np.split(x @ weights["kernel"], 2, axis=-1)
    activated = convolved(inner, weights)
    q, k = (by_blocks(activated, weights[f"{name}_kernel"]) for name in ("query", "key"))
    v = by_blocks(inner, weights["value_kernel"])
    seen = np.concatenate([q, k, v], axis=-1) @ weights["gate_kernel"] + weights["gate_bias"]
    h = np.zeros((2, 9, 12))
    for b in range(2):
        for head in range(2):
            part = slice(6 * head, 6 * head + 6)
            memory, normaliser = np.zeros((6, 6)), np.zeros(6)
            for t in range(9):
                i = np.exp(seen[b, t, head])
                f = FORGET_GATES[forget_gate](seen[b, t, 2 + head])
                key, value, query = k[b, t, part] / np.sqrt(6), v[b, t, part], q[b, t, part]
                memory = f * memory + i * np.outer(value, key)
                normaliser = f * normaliser + i * key
                h[b, t, part] = memory @ query / max(abs(normaliser @ query), 1)
    h = group_norm(h, 2, weights["norm_scale"]) + weights["skip_scale"] * activated
    want = (h * silu(gate)) @ weights["output_kernel"]
    np.testing.assert_allclose(array(layer(x)), want, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("form", PostUpMLSTM.forms)
def test_post_up_mlstm_is_the_papers_equations(form):
    """The mLSTM of xLSTM 7B as its equations stand, without m."""
    layer = PostUpMLSTM(6, 2, key_dim=4, gate_cap=2.0, chunk_size=4, form=form, dtype="float64")
    x = np.random.default_rng(0).standard_normal((2, 9, 5))
    weights = built(layer, x)
    q, k, v, gate = np.split(x @ weights["kernel"], (8, 16, 22), axis=-1)
    seen = 2 * np.tanh((x @ weights["gate_kernel"] + weights["gate_bias"]) / 2)
    h = np.zeros((2, 9, 6))
    for b in range(2):
        for head in range(2):
            keys, values = slice(4 * head, 4 * head + 4), slice(3 * head, 3 * head + 3)
            memory, normaliser = np.zeros((3, 4)), np.zeros(4)
            for t in range(9):
                i, f = np.exp(seen[b, t, head]), sigmoid(seen[b, t, 2 + head])
                key, value, query = k[b, t, keys] / 2, v[b, t, values], q[b, t, keys]
                memory = f * memory + i * np.outer(value, key)
                normaliser = f * normaliser + i * key
                h[b, t, values] = memory @ query / max(abs(normaliser @ query), 1)
    want = sigmoid(gate) * group_norm(h, 2, weights["norm_scale"], epsilon=1e-6)
    # The authors' code adds 1e-6 exp(m) to the divisor, which the norm all but takes out.
    np.testing.assert_allclose(array(layer(x)), want @ weights["output_kernel"], rtol=1e-4)


@pytest.mark.parametrize("forget_gate", FORGET_GATES)
@pytest.mark.parametrize("kernel_size", [0, 3])
def test_slstm_is_the_papers_equations(kernel_size, forget_gate):
    """Equations 8-14 as they stand, without m, in heads, in the block of figure 10."""
    layer = SLSTM(6, num_heads=2, kernel_size=kernel_size, forget_gate=forget_gate, dtype="float64")
    x = np.random.default_rng(0).standard_normal((2, 9, 4))
    weights = built(layer, x)
    activated = convolved(x, weights) if kernel_size else x
    want = np.zeros((2, 9, 6))
    for b in range(2):
        for head in range(2):
            ins, outs = slice(2 * head, 2 * head + 2), slice(3 * head, 3 * head + 3)
            kernel = np.split(weights["kernel"][head], 4, axis=-1)
            h, c, n = np.zeros(3), np.zeros(3), np.zeros(3)
            for t in range(9):
                sources = [activated, activated, x, x]
                given = [s[b, t, ins] @ w for s, w in zip(sources, kernel, strict=True)]
                given = np.concatenate(given) + h @ weights["recurrent_kernel"][head]
                i, f, z, o = np.split(given + weights["bias"][head], 4)
                i, f = np.exp(i), FORGET_GATES[forget_gate](f)
                c, n = f * c + i * np.tanh(z), f * n + i
                h = sigmoid(o) * c / n
                want[b, t, outs] = h
    want = group_norm(want, 2, weights["norm_scale"])
    np.testing.assert_allclose(array(layer(x)), want, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("form", MLSTM.forms)
def test_gates_that_overflow_are_stabilised(form):
    """Input gates of exp(100), infinite in float32, count relative to each other and to 1."""
    layers = {
        dtype: MLSTM(4, num_heads=1, form=form, dtype=dtype) for dtype in ("float32", "float64")
    }
    x = np.random.default_rng(0).standard_normal((2, 20, 4))
    built(layers["float64"], x, scale=0.3)
    layers["float64"].gate_bias.assign([100.0, 3.0])
    layers["float32"].build(x.shape)
    layers["float32"].set_weights(layers["float64"].get_weights())
    got, want = (array(layers[dtype](x.astype(dtype))) for dtype in layers)
    assert np.max(np.abs(want)) > 0.01
    np.testing.assert_allclose(got, want, atol=1e-3 * np.max(np.abs(want)))


def test_a_small_input_gate_writes_little():
    """exp(-100) is no weight: what is read is divided by 1, not by the weights' sum."""
    keras.utils.set_random_seed(0)
    layer = MLSTM(4, num_heads=1, dtype="float64")
    x = np.random.default_rng(0).standard_normal((2, 20, 4))
    layer.build(x.shape)
    layer.gate_bias.assign([-100.0, 3.0])
    _, state = layer(x, return_state=True)
    memory = array(state["memory"]) * np.exp(array(state["stabiliser"]))[..., None, None]
    assert 0 < np.max(np.abs(memory)) < np.exp(-98)


def test_the_slstms_first_step_counts_fully():
    """n is 1 after the first step however small its input gate, so h is o z."""
    layer = SLSTM(2, num_heads=1, kernel_size=0, dtype="float64")
    layer.build((None, None, 2))
    layer.bias.assign([[-200.0, -200.0, 0.0, 0.0, 1.0, -1.0, 2.0, 2.0]])
    _, state = layer(np.zeros((1, 1, 2)), return_state=True)
    np.testing.assert_array_equal(array(state["normaliser"]), np.ones((1, 1, 2)))
    want = sigmoid(2.0) * np.tanh([1.0, -1.0])
    np.testing.assert_allclose(array(state["hidden"])[0, 0], want, rtol=1e-12)


def test_gates_start_as_in_the_authors_code():
    keras.utils.set_random_seed(0)
    layer = MLSTM(400, num_heads=200)
    layer.build((None, None, 400))
    bias = array(layer.gate_bias)
    np.testing.assert_allclose(bias[200:], np.linspace(3, 6, 200), rtol=1e-6)
    assert abs(bias[:200].mean()) < 0.03 and abs(bias[:200].std() - 0.1) < 0.02
    assert not array(layer.gate_kernel).any()
    for depth, exponent in ((0.0, 0.3), (1.0, 1.6)):
        layer = SLSTM(8, num_heads=2, depth=depth)
        layer.build((None, None, 8))
        bias = array(layer.bias).reshape(2, 4, 4)
        want = 5 - 12 * np.linspace(0, 1, 4) ** exponent
        np.testing.assert_allclose(bias[:, 1], np.tile(want, (2, 1)), rtol=1e-6)
        assert not bias[:, [0, 2, 3]].any()


def test_the_order_of_the_blocks():
    assert block_pattern(4, (0, 3)) == "smms"
    model = XLSTM(5, 8, "ms", num_heads=2)
    assert [type(mixer) for mixer in model.mixers] == [MLSTM, SLSTM]
    assert [mlp is None for mlp in model.mlps] == [True, False]
    # Only the last block's place is 1: more of its forget gates start open.
    model = XLSTM(5, 8, "sss", num_heads=2)
    assert [mixer.depth for mixer in model.mixers] == [0, 0.5, 1]


@pytest.mark.parametrize("size", SIZES)
def test_parameters_are_the_published_ones(size):
    path = Path(papers.xlstm.__file__).parent / "reported.csv"
    with path.open(encoding="utf-8", newline="") as file:
        reported = {row["id"]: row["value"] for row in csv.DictReader(file)}
    name = size.replace("[", "-").replace("]", "").replace(":", "to")
    count = count_parameters(lambda: XLSTM(**SIZES[size])) / 1e6
    assert count == pytest.approx(float(reported[f"parameters-{name}"]), abs=0.1)


def test_the_large_model_has_as_many_parameters_as_the_published_one():
    count = count_parameters(lambda: XLSTMLarge(**LARGE_SIZES["7B"]))
    # Each block's projections, gates, MLP and norms; embedding and head; the last norm.
    inner = 4096 * (2 * 2048 + 2 * 4096) + 4096 * 4096
    gates, mlp, norms = 16 * 4097, 3 * 4096 * 10944, 3 * 4096
    assert count == 32 * (inner + gates + mlp + norms) + 2 * 50304 * 4096 + 4096 == 6_865_424_896


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLSTM(0), "units.*0"),
        (lambda: MLSTM(6, num_heads=5), "num_heads.*12.*5"),
        (lambda: MLSTM(3, num_heads=2), "block_size.*6.*4"),
        (lambda: MLSTM(4, chunk_size=12), "chunk_size.*power of two.*12"),
        (lambda: MLSTM(4, kernel_size=0), "kernel_size.*0"),
        (lambda: MLSTM(4, forget_gate="relu"), "forget_gate.*relu"),
        (lambda: PostUpMLSTM(6, num_heads=4), "num_heads.*6.*4"),
        (lambda: PostUpMLSTM(6, num_heads=2), "value_dim.*even.*3"),
        (lambda: PostUpMLSTM(8, gate_cap=0), "gate_cap.*0"),
        (lambda: PostUpMLSTM(8, epsilon=0), "epsilon.*0"),
        (lambda: PostUpMLSTM(8, chunk_size=12), "chunk_size.*power of two.*12"),
        (lambda: XLSTMLarge(4, 8, 0), "num_layers.*0"),
        (lambda: XLSTMLarge(4, 16, 1, hidden_units=0), "hidden_units.*0"),
        (lambda: SLSTM(6, num_heads=4), "num_heads.*6.*4"),
        (lambda: SLSTM(4, kernel_size=-1), "kernel_size.*-1"),
        (lambda: SLSTM(4, depth=1.5), "depth.*1.5"),
        (lambda: SLSTM(4, num_heads=2).build((None, None, 3)), "num_heads.*3.*2"),
        (lambda: SLSTM(4).get_initial_state(2), "build"),
        (lambda: XLSTM(4, 8, "mx"), "blocks.*mx"),
        (lambda: XLSTM(4, 8, ""), "blocks.*''"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_slstm_is_compared_with_the_faster_form(tmp_path, monkeypatch):
    seconds = {"chunkwise": 0.004, "parallel": 0.003, "slstm": 0.012}
    monkeypatch.setattr(experiments, "measure_fastest", lambda make, samples: seconds)
    run = Run(variant="v", preset="cpu", seed=0, dir=tmp_path)
    result = experiments.speed(run, lengths=[8], units=4, num_heads=1, batch_size=1, samples=3)
    assert result["slstm_ratio"] == pytest.approx(4)
    assert result["mlstm_milliseconds"] == pytest.approx(3)


# What NX-AI/xLSTM-7b has in its config.json.
PUBLISHED = {
    "add_embedding_dropout": False,
    "add_forward_backend_padding": False,
    "add_out_norm": True,
    "add_post_blocks_norm": True,
    "add_post_norm": False,
    "add_qk_norm": False,
    "architectures": ["xLSTMForCausalLM"],
    "autocast_kernel_dtype": "bfloat16",
    "bos_token_id": 0,
    "cell_norm_eps": 1e-06,
    "chunk_size": 64,
    "chunkwise_kernel": "chunkwise--triton_xl_chunk",
    "embedding_dim": 4096,
    "eos_token_id": 2,
    "eps": 1e-06,
    "ffn_proj_factor": 2.667,
    "ffn_round_up_to_multiple_of": 64,
    "force_bos_token_insert": True,
    "gate_soft_cap": 15.0,
    "head_dim": 512,
    "igate_bias_init_range": -10.0,
    "inference_state_dtype": "float32",
    "mlstm_round_up_to_multiple_of": 64,
    "mode": "inference",
    "model_type": "xlstm",
    "norm_eps": 1e-06,
    "norm_reduction_force_float32": True,
    "num_blocks": 32,
    "num_heads": 8,
    "output_logit_soft_cap": 30.0,
    "pad_token_id": 1,
    "qk_dim_factor": 0.5,
    "return_last_states": True,
    "sequence_kernel": "native_sequence__triton",
    "step_kernel": "triton",
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "transformers_version": "4.48.0.dev0",
    "use_bias": False,
    "use_cache": True,
    "v_dim_factor": 1.0,
    "vocab_size": 50304,
    "weight_mode": "single",
}


def test_the_published_configuration_is_the_size():
    model = XLSTMLarge(**LARGE_SIZES["7B"])
    arguments = arguments_of(PUBLISHED)
    assert (arguments.pop("key_dim"), arguments.pop("value_dim")) == (256, 512)
    assert arguments.pop("hidden_units") == model.mlps[0].hidden_units == 10944
    assert (model.mixers[0].key_dim, model.mixers[0].value_dim) == (256, 512)
    assert {**LARGE_SIZES["7B"], "num_heads": 8, "gate_cap": 15.0, "logits_cap": 30.0} | {
        "epsilon": 1e-6,
        "chunk_size": 64,
    } == arguments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mamba"}, "'model_type' must be 'xlstm'; got 'mamba'"),
        ({"weight_mode": "fused"}, "'weight_mode' must be 'single'; got 'fused'"),
        ({"use_bias": True}, "'use_bias' must be False; got True"),
        ({"add_out_norm": False}, "'add_out_norm' must be True; got False"),
        ({"tie_word_embeddings": True}, "'tie_word_embeddings' must be False; got True"),
        ({"num_hidden_layers": 31}, "'num_blocks' must be 'num_hidden_layers' = 31; got 32"),
        ({"eps": 1e-5}, "'eps' must be 1e-06; got 1e-05"),
        ({"slstm_at": [1]}, "'slstm_at' must not be there; supported are .*qk_dim_factor"),
    ],
)
def test_configurations_of_other_models_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        arguments_of({**PUBLISHED, **changes})


def large(**options):
    """An XLSTMLarge with random weights."""
    model = XLSTMLarge(
        **{"vocabulary_size": 7, "units": 6, "num_layers": 2, "num_heads": 2} | options
    )
    model.build((None, None))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.standard_normal(weight.shape))
    return model


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "mixed_bfloat16"])
def test_what_is_written_is_read(dtype, tmp_path):
    widths = {"key_dim": 3, "value_dim": 5, "hidden_units": 7}
    model = large(dtype=dtype, gate_cap=None, logits_cap=None, epsilon=1e-3, **widths)
    to_pretrained(model, tmp_path)
    read = from_pretrained(tmp_path, dtype=dtype, form="recurrent")
    assert read.mixers[0].form == "recurrent" and read.compute_dtype == model.compute_dtype
    given = read.get_config()
    assert {name: given[name] for name in widths} == widths
    assert (given["epsilon"], given["gate_cap"], given["logits_cap"]) == (1e-3, None, None)
    for ours, theirs in zip(read.weights, model.weights, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(*(array(ops.cast(w, "float32")) for w in (ours, theirs)))


@pytest.mark.parametrize("width", [1, 7, 10944])
@pytest.mark.parametrize("units", [3, 6, 49, 4096])
def test_widths_survive_as_factors(width, units):
    factor = factor_of(width, units)
    config = {**PUBLISHED, "embedding_dim": units, "num_heads": 1, "qk_dim_factor": factor}
    config |= {"ffn_proj_factor": factor, "ffn_round_up_to_multiple_of": 1}
    arguments = arguments_of(config)
    assert (arguments["key_dim"], arguments["hidden_units"]) == (width, width)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "layer"}, "norm.*'rms'.*'layer'"),
        ({"tie_embeddings": True}, "tie_embeddings.*False.*True"),
    ],
)
def test_models_that_xlstm_7b_can_not_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        config_of(large(key_dim=1, **options))
