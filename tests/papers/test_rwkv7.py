"""RWKV-7: its equations in NumPy, its reductions, its values' way, where its weights start."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from common.models import count_parameters
from common.ops.gated_attention import recurrent_gated_attention
from common.reproduce.judge.reported import load_reported
from papers.rwkv7 import RWKV7, RWKV7LM, RWKV7MLP, from_pretrained, to_pretrained
from papers.rwkv7.experiments import RWKV7Blocks
from papers.rwkv7.layers import suggested_ranks
from papers.rwkv7.model import SIZES
from papers.structured_linear_cde import StackedBlocks
from tests.contract.papers import COMMON, SIZE, ModelSubject, PaperContract
from tests.helpers.arrays import array, drawn, sigmoid

RANKS = (3, 2, 4, 5)
CONTRACT = PaperContract(
    kernels={
        "rwkv7-rwkv7": [
            (1, 3, 24),
            (1, 8, 6),
            (1, 3, 3),
            (1, 3, 8),
            (1, 3, 2),
            (1, 2, 8),
            (1, 3, 5),
            (1, 5, 8),
        ],
        "rwkv7-mlp": [(1, 3, 7), (1, 7, 6)],
    },
    models=(
        ModelSubject(
            "rwkv7",
            RWKV7LM,
            {**SIZE, "num_layers": 2, "num_heads": 2, "hidden_units": 6, "ranks": RANKS},
            {**COMMON, "hidden_units": 6, "ranks": RANKS, "value_residual": False}
            | {"chunk_size": 4, "form": "recurrent", "epsilon": 1e-3, "remat": True},
        ),
    ),
    other_arguments={
        "RWKV7": [
            {"units": 6, "num_heads": 2, "head_dim": 4, "ranks": RANKS, "value_residual": "first"}
            | {"index": 1, "num_layers": 3, "output_gain": 0.5, "chunk_size": 2, "epsilon": 1e-2}
        ],
        "RWKV7MLP": [
            {"units": 6, "hidden_units": 7, "index": 1, "num_layers": 3, "output_gain": 0.5}
        ],
    },
    corners={"rwkv7-rwkv7": [{"num_heads": 1, "value_residual": "first"}]},
)


def low(w, name, x, activate=lambda x: x):
    return activate(x @ w[f"{name}_in_kernel"]) @ w[f"{name}_kernel"] + w.get(f"{name}_bias", 0)


def time_mixing(w, x, first, heads, epsilon=64e-5):
    """Eq. 3 to 22 as the paper has them, its memory V x K; the outputs and the values."""
    before = np.concatenate([np.zeros_like(x[:1]), x[:-1]])
    xr, xw, xk, xv, xa, xg = (x + (before - x) * mu for mu in w["shift"])
    r, k, v = (y @ w for y, w in zip((xr, xk, xv), np.split(w["kernel"], 3, 1), strict=True))
    decay = np.exp(-np.exp(-0.5) * sigmoid(low(w, "decay", xw, np.tanh)))
    a, gate = sigmoid(low(w, "rate", xa)), low(w, "gate", xg, sigmoid)
    if first is not None:
        v = v + (first - v) * sigmoid(low(w, "residual", xv))
    removal, added = k * w["removal_scale"], k * (1 + (a - 1) * w["rate_scale"])
    joined = np.zeros_like(v)
    for one in np.split(np.arange(v.shape[1]), heads):
        memory = np.zeros((len(one), len(one)))
        for t in range(len(x)):
            kappa = removal[t, one] / np.linalg.norm(removal[t, one])
            transition = np.diag(decay[t, one]) - np.outer(kappa, a[t, one] * kappa)
            memory = memory @ transition + np.outer(v[t, one], added[t, one])
            o = memory @ r[t, one]
            o = (o - o.mean()) / np.sqrt(o.var() + epsilon)
            o = o * w["norm_scale"][one] + w["norm_bias"][one]
            bonus = r[t, one] @ (w["bonus"][one] * added[t, one])
            joined[t, one] = o + bonus * v[t, one]
    return (joined * gate) @ w["output_kernel"], v


@pytest.mark.parametrize("residual", [None, "first", "later"])
def test_time_mixing_is_the_papers(residual):
    layer = RWKV7(5, 2, 3, RANKS, residual, chunk_size=4, dtype="float64")
    x = np.random.default_rng(0).standard_normal((1, 7, 4 + (6 if residual == "later" else 0)))
    layer, w = drawn(layer, x)
    want, values = time_mixing(w, x[0, :, :4], x[0, :, 4:] if residual == "later" else None, 2)
    if residual == "first":
        want = np.concatenate([want, values], axis=1)
    for form in layer.forms:
        layer.form = form
        np.testing.assert_allclose(array(layer(x))[0], want, rtol=1e-8, atol=1e-10)


def mlp(w, x):
    before = np.concatenate([np.zeros_like(x[:1]), x[:-1]])
    return np.maximum((x + (before - x) * w["shift"]) @ w["kernel"], 0) ** 2 @ w["output_kernel"]


def test_the_mlp_is_the_papers():
    x = np.random.default_rng(0).standard_normal((1, 7, 4))
    layer, w = drawn(RWKV7MLP(5, 6, dtype="float64"), x)
    np.testing.assert_allclose(array(layer(x))[0], mlp(w, x[0]), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("form", RWKV7.forms)
def test_without_a_rate_the_memory_is_gated_linear_attentions(form):
    """Nothing is removed then, and `rate_scale` 0 adds the whole key."""
    layer = RWKV7(6, 2, 3, RANKS, form=form, chunk_size=4, dtype="float64")
    x = np.random.default_rng(0).standard_normal((2, 9, 6))
    layer, w = drawn(layer, x)
    layer.rate_bias.assign(np.full(6, -800.0))
    layer.rate_scale.assign(np.zeros(6))
    layer.shift.assign(np.zeros((6, 6)))
    _, k, v = np.split((x @ w["kernel"]).reshape(2, 9, 3, 2, 3), 3, axis=2)
    decay = -np.exp(-0.5) * sigmoid(low(w, "decay", x, np.tanh)).reshape(2, 9, 2, 3)
    k, v = k[:, :, 0], v[:, :, 0]
    _, want = recurrent_gated_attention(k, k, v, decay)
    _, state = layer(x, return_state=True)
    np.testing.assert_allclose(array(state["memory"]), array(want), rtol=1e-10, atol=1e-12)


def norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def random_model(model, seed=0):
    rng = np.random.default_rng(seed)
    for layer in (*model.mixers, *getattr(model, "mlps", ())):
        for weight in layer.weights:
            weight.assign(0.7 * rng.standard_normal(weight.shape))
    return model


def weights(layer):
    return {weight.name: array(weight) for weight in layer.weights}


def test_the_model_is_the_papers_with_the_first_values_in_all_blocks():
    model = RWKV7LM(7, 6, 3, 2, 5, RANKS, chunk_size=4, dtype="float64")
    model.build((None, None))
    random_model(model)
    model.embedding.embeddings.assign(np.random.default_rng(1).standard_normal((7, 6)))
    tokens = np.random.default_rng(2).integers(0, 7, (1, 9))
    x, first = norm(array(model.embedding.embeddings)[tokens[0]]), None
    for i, (mixer, network) in enumerate(zip(model.mixers, model.mlps, strict=True)):
        mixed, values = time_mixing(weights(mixer), norm(x), first, 2, 3e-5)
        first = first if i else values
        x = x + mixed
        x = x + mlp(weights(network), norm(x))
    want = norm(x) @ array(model.head.kernel)
    np.testing.assert_allclose(array(model(tokens))[0], want, rtol=1e-7, atol=1e-9)


def test_the_model_of_the_regular_languages():
    """`StackedBlocks`, but for the values, which the first block gives the later ones."""
    model = RWKV7Blocks(7, 6, 2, 2, dropout=0.0, chunk_size=4, dtype="float64")
    model.build((None, None))
    random_model(model)
    tokens = np.random.default_rng(2).integers(0, 7, (2, 9))
    assert sorted(model.get_initial_state(1)) == ["block_0", "block_1"]
    got = array(model(tokens))
    at = np.array([[3], [8]])
    asked = array(model({"inputs": tokens, "at": at}))
    np.testing.assert_allclose(asked[:, 0], got[[0, 1], [3, 8]], rtol=1e-12)
    x, first = array(model.embedding.embeddings)[tokens[0]], None
    for i, mixer in enumerate(model.mixers):
        mixed, values = time_mixing(weights(mixer), x, first, 2)
        first = first if i else values
        y = x + mixed
        value, gate = np.split(y @ array(model.networks[i].kernel), 2, axis=1)
        x = norm(y + value * sigmoid(gate))
    want = x @ array(model.head.kernel)
    np.testing.assert_allclose(got[0], want, rtol=1e-7, atol=1e-9)
    other = StackedBlocks(7, 6, [RWKV7(6, 2) for _ in range(2)], dropout=0.0)
    other.build((None, None))
    residual = 6 * 32 + 32 * 6 + 6
    assert model.count_params() == other.count_params() + residual


@pytest.mark.parametrize("remat", [False, True])
def test_the_first_values_have_gradients_from_later_blocks(remat):
    """Of the values' kernel alone in the first block, whose own output is cut off."""
    model = RWKV7LM(7, 6, 2, 2, 5, RANKS, remat=remat, chunk_size=4)
    model.build((None, None))
    random_model(model)
    model.mixers[0].output_kernel.assign(np.zeros((6, 6)))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = array(model.mixers[0].kernel)
    tokens = np.random.default_rng(2).integers(0, 7, (4, 9))
    model.train_on_batch(tokens, tokens)
    change = abs(array(model.mixers[0].kernel) - before).max(axis=0)
    assert change[12:].min() > 0 and change[:12].max() == 0


def shapes_of_published(blocks=2, units=8, inside=12, words=11, heads=2, ranks=RANKS):
    """Tensors by name, as in the files of flash-linear-attention's `RWKV7ForCausalLM`."""
    norms = ["model.layers.0.pre_norm", "model.norm"]
    shapes = {"model.embeddings.weight": (words, units), "lm_head.weight": (words, units)}
    for i in range(blocks):
        norms += [f"model.layers.{i}.{name}" for name in ("attn_norm", "ffn_norm", "attn.g_norm")]
        attention, mlp = f"model.layers.{i}.attn", f"model.layers.{i}.ffn"
        shapes |= {f"{attention}.x_{letter}": (1, 1, units) for letter in "rwkvag"}
        shapes |= {f"{attention}.{letter}_proj.weight": (units, units) for letter in "rkvo"}
        for letter, rank in zip("wavg", ranks, strict=True):
            low = f"{attention}.{letter}_lora.lora"
            if letter != "v" or i:
                shapes |= {f"{low}.0.weight": (rank, units), f"{low}.2.weight": (units, rank)}
                shapes |= {} if letter == "g" else {f"{low}.2.bias": (units,)}
        shapes |= {f"{attention}.k_k": (units,), f"{attention}.k_a": (units,)}
        shapes |= {f"{attention}.r_k": (heads, units // heads), f"{mlp}.x_k": (units,)}
        shapes |= {f"{mlp}.key.weight": (inside, units), f"{mlp}.value.weight": (units, inside)}
    return shapes | {f"{name}.{x}": (units,) for name in norms for x in ("weight", "bias")}


def published_logits(p, tokens, heads=2):
    """What the tensors make of tokens `(T,)`, after the authors' NumPy (RWKV-7 in one step)."""

    def layer_norm(x, name):
        return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]

    def low(x, name, f=lambda x: x):
        x = p[f"{name}_lora.lora.2.weight"] @ f(p[f"{name}_lora.lora.0.weight"] @ x)
        return x + p.get(f"{name}_lora.lora.2.bias", 0)

    blocks = [f"model.layers.{i}" for i in range(2)]
    units = p["model.norm.weight"].size
    last = {(block, part): np.zeros(units) for block in blocks for part in ("attn", "ffn")}
    states, logits = {block: np.zeros((heads, 4, 4)) for block in blocks}, []
    for token in tokens:
        x, first = layer_norm(p["model.embeddings.weight"][token], f"{blocks[0]}.pre_norm"), None
        for block in blocks:
            a, z = f"{block}.attn", layer_norm(x, f"{block}.attn_norm")
            step, last[block, "attn"] = last[block, "attn"] - z, z
            xr, xw, xk, xv, xa, xg = (z + p[f"{a}.x_{m}"].ravel() * step for m in "rwkvag")
            r, k, v = (p[f"{a}.{m}_proj.weight"] @ y for m, y in (("r", xr), ("k", xk), ("v", xv)))
            w = np.exp(-sigmoid(low(xw, f"{a}.w", np.tanh)) / np.e**0.5)
            rate, gate = sigmoid(low(xa, f"{a}.a")), low(xg, f"{a}.g", sigmoid)
            first = v if first is None else first
            v = v + (first - v) * sigmoid(low(xv, f"{a}.v")) if block != blocks[0] else v
            removal, k = k * p[f"{a}.k_k"], k + k * (rate - 1) * p[f"{a}.k_a"]
            r, w, k, v, removal, rate = (
                y.reshape(heads, 4, 1) for y in (r, w, k, v, removal, rate)
            )
            removal = removal / np.linalg.norm(removal, axis=1, keepdims=True)
            old, turned = states[block], (removal * rate).swapaxes(1, 2)
            states[block] = old * w.swapaxes(1, 2) - old @ removal * turned + v * k.swapaxes(1, 2)
            y = (states[block] @ r)[..., 0]
            y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 4e-5)
            y = y.ravel() * p[f"{a}.g_norm.weight"] + p[f"{a}.g_norm.bias"]
            y = y + ((r * k * p[f"{a}.r_k"][..., None]).sum(1, keepdims=True) * v).ravel()
            x = x + p[f"{a}.o_proj.weight"] @ (y * gate)
            z = layer_norm(x, f"{block}.ffn_norm")
            mixed = z + p[f"{block}.ffn.x_k"] * (last[block, "ffn"] - z)
            last[block, "ffn"] = z
            inside = np.maximum(p[f"{block}.ffn.key.weight"] @ mixed, 0) ** 2
            x = x + p[f"{block}.ffn.value.weight"] @ inside
        logits.append(p["lm_head.weight"] @ layer_norm(x, "model.norm"))
    return np.stack(logits)


CONFIG = {
    "model_type": "rwkv7", "architectures": ["RWKV7ForCausalLM"], "vocab_size": 11,
    "hidden_size": 8, "num_hidden_layers": 2, "head_dim": 4, "num_heads": 32,
    "intermediate_size": 12, "hidden_ratio": 4.0, "hidden_act": "sqrelu", "norm_eps": 1e-5,
    "norm_bias": True, "norm_first": True, "attn": None, "fuse_norm": False, "value_dim": [8, 8],
    "decay_low_rank_dim": 3, "a_low_rank_dim": 2, "v_low_rank_dim": 4, "gate_low_rank_dim": 5,
}  # fmt: skip


def test_published_weights_are_read(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {name: 0.5 * rng.standard_normal(x) for name, x in shapes_of_published().items()}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    model = from_pretrained(tmp_path, dtype="float64")
    assert model.count_params() == sum(tensor.size for tensor in tensors.values())
    tokens = rng.integers(0, 11, (1, 9))
    want = published_logits(tensors, tokens[0])
    np.testing.assert_allclose(array(model(tokens))[0], want, rtol=1e-8, atol=1e-9)
    for key, value in (("value_dim", [8, 16]), ("hidden_act", "gelu"), ("norm_first", False)):
        (tmp_path / "config.json").write_text(json.dumps({**CONFIG, key: value}))
        with pytest.raises(ValueError, match=f"'{key}' must be"):
            from_pretrained(tmp_path)


def test_written_weights_are_those_that_were_read(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {
        name: rng.standard_normal(shape).astype("float32")
        for name, shape in shapes_of_published().items()
    }
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    to_pretrained(from_pretrained(tmp_path), tmp_path / "back")
    back = load_file(tmp_path / "back/model.safetensors")
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name], tensor, err_msg=name)
    config = json.loads((tmp_path / "back/config.json").read_text())
    for key in ("vocab_size", "hidden_size", "num_hidden_layers", "head_dim", "norm_eps"):
        assert config[key] == CONFIG[key]
    for key in ("intermediate_size", *(key for key in CONFIG if key.endswith("low_rank_dim"))):
        assert config[key] == CONFIG[key]
    unlike = RWKV7LM(11, 8, 2, 2, value_residual=False)
    unlike.build((None, None))
    with pytest.raises(ValueError, match="value_residual"):
        to_pretrained(unlike, tmp_path)


def test_weights_start_where_the_authors_code_has_them():
    """Of the second of four blocks, in loops as in their code."""
    keras.utils.set_random_seed(0)
    layer = RWKV7(8, 2, value_residual="later", index=1, num_layers=4, output_gain=0.0)
    layer.build((None, None, 16))
    w = weights(layer)
    deep, rest = 1 / 3, 1 - 1 / 4
    for i in range(8):
        zigzag, linear = (i % 4 - 1.5) / 1.5, i / 7 - 0.5
        zigzag *= abs(zigzag)
        slope = -6 + 6 * (i / 7) ** (1 + deep**0.3)
        powers = (0.2, 0.9, 0.7, 0.7, 0.9, 0.2)
        shift = [1 - (i / 8) ** (power * rest) for power in powers]
        np.testing.assert_allclose(w["shift"][:, i], shift, rtol=1e-5, atol=1e-6)
        assert w["decay_bias"][i] == pytest.approx(slope + 0.5 + 2.5 * zigzag, abs=1e-5)
        assert w["rate_bias"][i] == pytest.approx(-0.19 + 0.3 * zigzag + 0.4 * linear, abs=1e-5)
        assert w["residual_bias"][i] == pytest.approx(0.73 - 0.4 * linear, abs=1e-5)
        assert w["removal_scale"][i] == pytest.approx(0.71 - 0.1 * linear, abs=1e-5)
    for part, gain in zip(np.split(w["kernel"], 3, axis=1), (1.0, 0.1, 1.0), strict=True):
        np.testing.assert_allclose(part.T @ part, gain**2 * np.eye(8), atol=1e-5)
    assert not w["output_kernel"].any() and not w["decay_in_kernel"].any()
    np.testing.assert_allclose(w["norm_scale"], 0.5**0.7, rtol=1e-6)
    assert not array(layer(np.ones((1, 3, 16)))).any()


def test_parameters_are_those_of_the_published_models():
    """And the paper's formula for them (appendix E)."""
    reported = load_reported(Path("papers/rwkv7/reported.csv"))
    for name, size in SIZES.items():
        units, blocks, words = (size[key] for key in ("units", "num_layers", "vocabulary_size"))
        count = count_parameters(lambda size=size: RWKV7LM(**size))
        block = units * (12 * units + 2 * sum(size["ranks"]) + 19)
        first = 2 * units * size["ranks"][2] + units
        assert count == 2 * units * words + 4 * units + blocks * block - first
        assert count == reported[f"parameters-{name}"].value


def test_ranks_are_the_authors_suggestion():
    assert suggested_ranks(768) == (64, 64, 32, 128)
    assert suggested_ranks(32) == (32, 32, 32, 32)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RWKV7(6, 4), "num_heads.*4"),
        (lambda: RWKV7(6, 2, ranks=(1, 2, 3)), "`ranks` must be four.*"),
        (lambda: RWKV7(6, 2, ranks=(1, 2, 3, 0)), r"ranks\[3\].*0"),
        (lambda: RWKV7(6, 2, value_residual="last"), "value_residual.*last"),
        (lambda: RWKV7(6, 2, index=1), "index.*1"),
        (lambda: RWKV7(6, 2, chunk_size=3), "chunk_size.*3"),
        (lambda: RWKV7(6, 2, epsilon=0), "epsilon.*0"),
        (lambda: RWKV7(6, 2, value_residual="later").build((None, None, 6)), "inputs.*6"),
        (lambda: RWKV7MLP(6).get_initial_state(2), "build the layer first"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
