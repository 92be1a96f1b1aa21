"""RG-LRU and Griffin: re-derived in NumPy, their sizes, their models."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from common.models import count_parameters
from common.reproduce import Run
from common.reproduce.execute.timing import Timing
from papers.griffin import (
    RGLRU,
    SIZES,
    Griffin,
    RecurrentBlock,
    decoding,
    from_pretrained,
    to_pretrained,
)
from papers.griffin.experiments import SCANS
from papers.griffin.layers import bounded_sqrt
from papers.griffin.model import griffin, griffin_blocks, hawk, transformer
from papers.griffin.pretrained import arguments_of, config_of
from tests.contract.papers import APART, SIZE, ModelSubject, PaperContract, without
from tests.helpers.arrays import array, sigmoid
from tests.helpers.gradients import gradients

CONTRACT = PaperContract(
    kernels={
        "griffin-rg-lru": [(2, 3, 6)],
        "griffin-block": [(1, 4, 12), (3, 2, 4), (1, 6, 5)],
    },
    models=(
        ModelSubject(
            "griffin",
            Griffin,
            {**SIZE, "blocks": "rlg", "recurrent_units": 8, "num_blocks": 2, "num_heads": 2}
            | {"window": 4, "context": 30},
            without(APART, "tie_embeddings", "epsilon", "embedding_stddev")
            | {"activation": "gelu_tanh", "rotary_dim": 2, "output_bias": True}
            | {"num_blocks": 2, "num_heads": 2, "window": 4, "context": 30, "expansion": 1}
            | {"form": "recurrent"},
        ),
    ),
    other_arguments={
        "RGLRU": [{"units": 3, "num_blocks": 3, "scan": "associative"}],
        "RecurrentBlock": [
            {"units": 5, "recurrent_units": 6, "num_blocks": 3, "kernel_size": 3}
            | {"activation": "gelu_tanh", "scan": "associative"}
        ],
    },
    corners={
        "griffin-block": [{"num_blocks": 1, "kernel_size": 1}, {"scan": "associative"}],
    },
)


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))


def with_random_weights(layer, shape, rng):
    layer.build(shape)
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.weights])
    return layer


def rg_lru(x, kernel, bias, decay, starts=(0,)):
    """Equations 1 to 6 on `(T, D)`, and a factor of 1 where a document starts."""
    hidden, states = np.zeros(x.shape[1]), []
    for t, x_t in enumerate(x):
        # The dense W_a and W_x that the blocks stand for.
        dense = np.zeros((2, len(x_t), len(x_t)))
        width = kernel.shape[1]
        for k, block in enumerate(kernel):
            at = slice(k * width, (k + 1) * width)
            dense[0, at, at], dense[1, at, at] = block[:, :width], block[:, width:]
        r = sigmoid(x_t @ dense[0] + bias[:, :width].ravel())
        i = sigmoid(x_t @ dense[1] + bias[:, width:].ravel())
        a = sigmoid(-decay) ** (8 * r)
        old, factor = (0.0, 1.0) if t in starts else (a * hidden, np.sqrt(1 - a**2))
        hidden = old + factor * (i * x_t)
        states.append(hidden)
    return np.stack(states)


@pytest.mark.parametrize("form", RGLRU.forms)
def test_rg_lru_is_the_papers_equations(form):
    rng = np.random.default_rng(0)
    layer = with_random_weights(RGLRU(6, 3, form=form, dtype="float64"), (None, None, 6), rng)
    x = rng.standard_normal((2, 9, 6))
    want = [rg_lru(one, *layer.get_weights()) for one in x]
    np.testing.assert_allclose(array(layer(x)), want, rtol=1e-9)


@pytest.mark.parametrize("form", RGLRU.forms)
def test_the_first_valid_step_of_a_document_counts_in_full(form):
    rng = np.random.default_rng(0)
    layer = with_random_weights(RGLRU(6, 3, form=form, dtype="float64"), (None, None, 6), rng)
    x = rng.standard_normal((1, 9, 6))
    # Padding in front, and a reset on a step that is padding itself.
    mask = np.array([[False, True, True, True, False, False, True, True, True]])
    reset = np.array([[False, False, False, False, True, False, False, False, False]])
    got = array(layer(x, mask=mask, reset=reset))[mask]
    want = rg_lru(x[mask], *layer.get_weights(), starts=(0, 3))
    np.testing.assert_allclose(got, want, rtol=1e-9)
    # A state of zeros that a step led to is another than the one before all steps.
    state = {"hidden": np.zeros((1, 6)), "started": np.ones((1,), "int32")}
    assert not np.allclose(array(layer(x[:, 1:], initial_state=state))[0, 0], got[0])


def test_initial_decay_is_uniform():
    keras.utils.set_random_seed(0)
    layer = RGLRU(4000, 400)
    layer.build((None, None, 4000))
    decay = np.exp(-8 * np.log1p(np.exp(array(layer.decay).astype("float64"))))
    assert decay.min() >= 0.9 - 1e-6 and decay.max() <= 0.999 + 1e-6
    quartiles = 0.9 + 0.099 * np.array([0.25, 0.5, 0.75])
    np.testing.assert_allclose(np.quantile(decay, [0.25, 0.5, 0.75]), quartiles, atol=5e-3)
    np.testing.assert_allclose(array(layer.gate_kernel).std(), 10**-0.5, rtol=0.03)


def test_the_square_roots_derivative_is_bounded():
    x = np.array([0.0, 1e-12, 2.5e-7, 1e-6, 0.25, 1.0])
    (roots,), (slopes,) = gradients(bounded_sqrt, [x])
    _, (upstream,) = gradients(lambda x: x, [x])
    np.testing.assert_allclose(roots, np.sqrt(x))
    np.testing.assert_allclose(slopes / upstream, [1000, 1000, 1000, 500, 1, 0.5])


@pytest.mark.parametrize("form", RecurrentBlock.forms)
def test_recurrent_block_is_the_papers(form):
    rng = np.random.default_rng(0)
    block = RecurrentBlock(5, 6, num_blocks=2, form=form, dtype="float64")
    with_random_weights(block, (None, None, 4), rng)
    x = rng.standard_normal((2, 9, 4))
    weights = {w.path.split("/")[-1]: array(w) for w in block.weights}
    want = []
    for one in x:
        u, g = np.split(one @ weights["kernel"] + weights["bias"], 2, axis=-1)
        padded = np.concatenate([np.zeros((3, 6)), u])
        u = sum(padded[j : j + 9] * weights["convolution_kernel"][j] for j in range(4))
        u = u + weights["convolution_bias"]
        h = rg_lru(u, weights["gate_kernel"], weights["gate_bias"], weights["decay"])
        want.append((gelu(g) * h) @ weights["output_kernel"] + weights["output_bias"])
    # Keras's gelu knows the square root of 2 in float32 only.
    np.testing.assert_allclose(array(block(x)), want, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "total", "without_embedding"),
    [("recurrentgemma-2B", 2.68, 2.03), ("recurrentgemma-9B", 8.58, 7.53)],
)
def test_parameters_of_the_published_models(name, total, without_embedding):
    """RecurrentGemma, Botev et al. (2024), table 1, in billions."""
    size = SIZES[name]
    parameters = count_parameters(lambda: Griffin(**size))
    assert round(parameters / 1e9, 2) == total
    embedding = size["vocabulary_size"] * size["units"]
    assert round((parameters - embedding) / 1e9, 2) == without_embedding


def test_recurrent_gemma_is_transformers():
    """The logits of the model that was published, in the code that loads its weights."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    units, heads, vocabulary_size, num_layers = 16, 2, 11, 5
    torch.manual_seed(0)
    config = transformers.RecurrentGemmaConfig(
        num_hidden_layers=num_layers,
        vocab_size=vocabulary_size,
        hidden_size=units,
        intermediate_size=6 * units,
        num_attention_heads=heads,
        num_key_value_heads=1,
        lru_width=units,
        attention_window_size=4,
        attn_implementation="eager",
    )
    peer = transformers.RecurrentGemmaForCausalLM(config).eval()
    with torch.no_grad():
        for weight in peer.parameters():
            weight.add_(0.3 * torch.randn(weight.shape))
        peer.model.embed_tokens.weight.mul_(5)
    # What the sizes say of the published ones beside widths and depths.
    size = SIZES["recurrentgemma-2B"]
    shared = {name: size[name] for name in ("activation", "output_bias", "logits_cap")}
    assert size["embedding_scale"] == torch.tensor(size["units"] ** 0.5).bfloat16().item()
    assert 2 * size["rotary_dim"] * size["num_heads"] == size["units"]
    model = Griffin(
        vocabulary_size,
        units,
        griffin_blocks(num_layers),
        recurrent_units=units,
        num_blocks=heads,
        num_heads=heads,
        window=4,
        rotary_dim=units // heads // 2,
        embedding_scale=units**0.5,
        **shared,
    )
    model.build((None, None))
    _copy_recurrent_gemma(model, peer)
    tokens = np.random.default_rng(0).integers(0, vocabulary_size, (2, 13))
    with torch.no_grad():
        want = peer(torch.tensor(tokens), use_cache=False).logits.numpy()
    assert np.abs(want).max() > 5  # or the cap would not show
    got = array(model(tokens.astype("int32")))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    # Each of the departures shows: without it the logits are others.
    for change in ({"activation": "gelu"}, {"rotary_dim": None}, {"logits_cap": None}):
        other = Griffin.from_config({**model.get_config(), **change})
        other.build((None, None))
        other.set_weights(model.get_weights())
        assert np.abs(array(other(tokens.astype("int32"))) - want).max() > 2e-3, change


def _copy_recurrent_gemma(model, peer):
    def value(weight, transposed=False):
        weight = weight.detach().numpy()
        return weight.T if transposed else weight

    model.embedding.embeddings.assign(value(peer.model.embed_tokens.weight))
    model.last_norm.scale.assign(1 + value(peer.model.final_norm.weight))
    blocks = zip(
        peer.model.layers,
        model.mixer_norms,
        model.mixers,
        model.mlp_norms,
        model.mlps,
        strict=True,
    )
    for block, mixer_norm, mixer, network_norm, network in blocks:
        mixer_norm.scale.assign(1 + value(block.temporal_pre_norm.weight))
        network_norm.scale.assign(1 + value(block.channel_pre_norm.weight))
        mlp, peer_mixer = block.mlp_block, block.temporal_block
        sides = (mlp.gate_proj, mlp.up_proj)
        network.expand.kernel.assign(np.concatenate([value(x.weight, True) for x in sides], 1))
        network.expand.bias.assign(np.concatenate([value(x.bias) for x in sides]))
        network.contract.kernel.assign(value(mlp.down_proj.weight, True))
        network.contract.bias.assign(value(mlp.down_proj.bias))
        if not isinstance(mixer, RecurrentBlock):
            sides = (peer_mixer.q_proj, peer_mixer.k_proj, peer_mixer.v_proj)
            mixer.kernel.assign(np.concatenate([value(x.weight, True) for x in sides], 1))
            mixer.output_kernel.assign(value(peer_mixer.o_proj.weight, True))
            mixer.output_bias.assign(value(peer_mixer.o_proj.bias))
            continue
        sides = (peer_mixer.linear_x, peer_mixer.linear_y)
        mixer.kernel.assign(np.concatenate([value(x.weight, True) for x in sides], 1))
        mixer.bias.assign(np.concatenate([value(x.bias) for x in sides]))
        mixer.convolution_kernel.assign(value(peer_mixer.conv_1d.weight)[:, 0].T)
        mixer.convolution_bias.assign(value(peer_mixer.conv_1d.bias))
        mixer.output_kernel.assign(value(peer_mixer.linear_out.weight, True))
        mixer.output_bias.assign(value(peer_mixer.linear_out.bias))
        lru, recurrence = peer_mixer.rg_lru, mixer.recurrence
        gates = (lru.recurrent_gate_weight, lru.input_gate_weight)
        recurrence.gate_kernel.assign(np.concatenate([value(x) for x in gates], -1))
        biases = (lru.recurrent_gate_bias, lru.input_gate_bias)
        recurrence.gate_bias.assign(np.concatenate([value(x) for x in biases], -1))
        recurrence.decay.assign(value(lru.recurrent_param))


@pytest.mark.parametrize(
    ("name", "billions"), [("griffin-7B", 7), ("hawk-7B", 7), ("griffin-14B", 14), ("hawk-3B", 3)]
)
def test_parameters_of_table_2(name, billions):
    """The names of the sizes, which leave the embedding out, round them to billions."""
    parameters = count_parameters(lambda: Griffin(vocabulary_size=1, **SIZES[name]))
    assert round(parameters / 1e9) == billions


def test_models_of_the_tasks_have_roughly_250_thousand_parameters():
    for make in (hawk, griffin, transformer):
        model = make(16, 5, units=64, recurrent_units=64, num_heads=4)
        model.build((None, None))
        assert abs(model.count_params() - 250_000) < 12_500
        # Exactly: blocks, each with a gated MLP and two norms; the last norm; the embedding.
        mlp = 64 * 384 + 384 + 192 * 64 + 64
        recurrent = 64 * 128 + 128 + 5 * 64 + 2 * (16 * 4 * 4 + 64) + 64 + 64 * 64 + 64
        attention = 64 * (64 + 2 * 16) + 64 * 64
        mixers = sum(recurrent if letter == "r" else attention for letter in model.blocks)
        assert model.count_params() == 5 * (mlp + 128) + mixers + 64 + 16 * 64


def test_pattern_of_blocks():
    assert griffin_blocks(8) == "rrlrrlrr"
    assert griffin(16, 5, units=8, recurrent_units=8, num_blocks=2).blocks == "rrlrr"
    assert SIZES["recurrentgemma-2B"]["blocks"].count("l") == 8
    assert set(SIZES["hawk-7B"]["blocks"]) == {"r"}


SMALL = {"units": 16, "recurrent_units": 16, "num_blocks": 4, "num_heads": 2}


@pytest.mark.parametrize("name", SCANS)
def test_the_timed_scans_compute_the_same(name):
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0, 1, (2, 13, 3)), rng.standard_normal((2, 13, 3))
    h, want = np.zeros((2, 3)), []
    for t in range(13):
        h = a[:, t] * h + b[:, t]
        want.append(h)
    got = SCANS[name](ops.convert_to_tensor(a), ops.convert_to_tensor(b))
    np.testing.assert_allclose(array(got), np.stack(want, 1), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RGLRU(0), "units.*0"),
        (lambda: RGLRU(10), "num_blocks.*16"),
        (lambda: RGLRU(6, 2).build((None, None, 4)), "inputs.*6"),
        (lambda: RecurrentBlock(4, 16, kernel_size=0), "kernel_size.*0"),
        (lambda: Griffin(4, 16, "rx", 16), "blocks.*x"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# What google/recurrentgemma-2b has in its config.json, and what 9b has in its place.
PUBLISHED = {
    "_block_types": ["recurrent", "recurrent", "attention"],
    "architectures": ["RecurrentGemmaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "attention_window_size": 2048,
    "bos_token_id": 2,
    "conv1d_width": 4,
    "embeddings_scale_by_sqrt_dim": True,
    "eos_token_id": 1,
    "final_w_init_variance_scale": 0.07692307692307693,
    "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 2560,
    "intermediate_size": 15360,
    "logits_soft_cap": 30.0,
    "lru_width": 2560,
    "model_type": "recurrent_gemma",
    "num_attention_heads": 10,
    "num_hidden_layers": 26,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
    "partial_rotary_factor": 0.5,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.42.0.dev0",
    "use_cache": True,
    "vocab_size": 256000,
    "w_init_variance_scale": 0.01,
}
LARGER = {"hidden_size": 4096, "intermediate_size": 24576, "lru_width": 4096}
LARGER |= {"num_attention_heads": 16, "num_hidden_layers": 38}


@pytest.mark.parametrize(("changes", "name"), [({}, "2B"), (LARGER, "9B")])
def test_published_configurations_are_the_sizes(changes, name):
    arguments = arguments_of({**PUBLISHED, **changes})
    assert arguments.pop("expansion") == 3
    assert arguments == SIZES[f"recurrentgemma-{name}"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gemma"}, "'model_type' must be 'recurrent_gemma'; got 'gemma'"),
        ({"num_key_value_heads": 2}, "'num_key_value_heads' must be 1; got 2"),
        ({"attention_bias": True}, "'attention_bias' must be False; got True"),
        ({"conv1d_width": 3}, "'conv1d_width' must be 4; got 3"),
        ({"rms_norm_eps": 1e-5}, "'rms_norm_eps' must be 1e-06; got 1e-05"),
        (
            {"block_types": ["recurrent", "mlp"]},
            "'block_types' must be of .*recurrent.*; got .*mlp",
        ),
        ({"hidden_activation": "relu"}, "'hidden_activation' must be one of .*gelu.*; got 'relu'"),
        ({"intermediate_size": 7680}, "'intermediate_size' must be a multiple .* 5120; got 7680"),
        (
            {"rope_parameters": {"rope_theta": 1e6}},
            "'rope_parameters' must be .*10000.*; got .*1000",
        ),
        ({"_block_types": ["mlp"]}, "'block_types' must be of .*recurrent.*; got .*mlp"),
        ({"experts": 4}, "'experts' must not be there; supported are .*block_types"),
    ],
)
def test_configurations_of_other_models_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        arguments_of({**PUBLISHED, **changes})


def recurrent_gemma(**options):
    """A model like RecurrentGemma, with random weights."""
    shape = {"vocabulary_size": 7, "units": 12, "blocks": "rl", "recurrent_units": 8}
    like = {"num_blocks": 2, "num_heads": 2, "output_bias": True, "rotary_dim": 4}
    # The square root of 12 in bfloat16.
    like |= {"embedding_scale": 3.46875, "logits_cap": 5.0}
    model = Griffin(**{**shape, **like, **options})
    model.build((None, None))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(1 + 0.1 * rng.standard_normal(weight.shape))
    return model


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "mixed_bfloat16"])
def test_what_is_written_is_read(dtype, tmp_path):
    model = recurrent_gemma(dtype=dtype)
    to_pretrained(model, tmp_path)
    read = from_pretrained(tmp_path, dtype=dtype, form="recurrent")
    assert read.mixers[0].form == "recurrent" and read.compute_dtype == model.compute_dtype
    assert read.get_config()["rotary_dim"] == 4
    for ours, theirs in zip(read.weights, model.weights, strict=True):
        assert ours.dtype == theirs.dtype
        # The norms' are written less one.
        ours, theirs = (array(ops.cast(weight, "float32")) for weight in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, atol=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": "rg"}, "blocks.*'rg'"),
        ({"num_blocks": 4}, "num_blocks.*2 in RecurrentGemma; got 4"),
        ({"output_bias": False}, "output_bias.*True.*False"),
        ({"embedding_scale": 12**0.5}, "embedding_scale.*3.46875.*3.464"),
        ({"logits_cap": None}, "logits_cap.*None"),
        ({"norm": "layer"}, "norm.*'rms'.*'layer'"),
        ({"max_positions": 9}, "max_positions.*0.*9"),
    ],
)
def test_models_that_recurrent_gemma_can_not_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        config_of(recurrent_gemma(**options))


def test_decoding_compares_the_models_at_the_most_tokens(tmp_path, monkeypatch):
    """A model whose steps take longer is slower by that."""
    asked = []

    def measure(functions, samples):
        asked.append([float(array(function()).sum()) for function in functions.values()])
        times = {"hawk": 1.0, "griffin": 2.0, "transformer": 3.0 * len(asked)}
        return {name: Timing(times[name], 0, 0, samples, 0) for name in functions}

    monkeypatch.setattr(decoding, "measure", measure)
    run = Run(variant="models", preset="cpu", seed=0, dir=tmp_path)
    found = decoding.decoding(
        run,
        blocks={"hawk": "r", "griffin": "l", "transformer": "g"},
        model_settings={"units": 8, "recurrent_units": 8, "num_blocks": 2, "num_heads": 2},
        lengths=[4, 8],
        batch_size=2,
        samples=1,
    )
    assert len(asked) == 2 and np.isfinite(asked).all()
    assert found == {
        "hawk_speedup": 6.0,
        "griffin_speedup": 3.0,
        "hawk_growth": 1.0,
        "griffin_growth": 1.0,
        "transformer_growth": 2.0,
    }
