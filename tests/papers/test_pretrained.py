"""Published weights: transformers' models and ours compute the same, and what is told otherwise."""

import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from safetensors.numpy import load_file, save_file

from common.models import GatedMLP
from common.pretrained import fetch
from papers.mamba import MambaLM
from papers.mamba2 import Mamba2LM
from tests.contract.subjects import jitted
from tests.helpers.published import CASES, LAYER, LAYERS, TOKENS

ROOT = Path(__file__).parents[2]
# PyTorch takes longer with several threads where models are so small.
PEER = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
OURS = {
    "mamba": lambda **options: MambaLM(7, 8, 2, state_dim=3, **options),
    "mamba2": lambda **options: Mamba2LM(
        7, 8, 2, state_dim=3, head_dim=4, num_groups=2, tie_embeddings=False, **options
    ),
}
for_each_case = pytest.mark.parametrize("case", CASES)
for_each_paper = pytest.mark.parametrize("paper", OURS)


def array(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def of(paper):
    return importlib.import_module(f"papers.{paper}")


def compiled(function):
    if keras.backend.backend() != "tensorflow":
        return jitted(function)
    import tensorflow as tf

    return tf.function(function)


def drawn(paper, **options):
    """A model with random weights."""
    model = OURS[paper](**options)
    model.build((None, None))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.standard_normal(weight.shape))
    return model


# Beside transformers.


def run_transformers(what, folder):
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.published", what, str(folder)],
        cwd=ROOT,
        env={**os.environ, **PEER, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with what transformers wrote."""
    if importlib.util.find_spec("transformers") is None:
        pytest.skip("needs the extra `peers`")
    folder = tmp_path_factory.mktemp("published")
    run_transformers("write", folder)
    return folder


@pytest.fixture(scope="module")
def returned(published):
    """The same folder with what transformers reads of the models that we wrote."""
    for name, case in CASES.items():
        model = of(case.paper).from_pretrained(published / name)
        of(case.paper).to_pretrained(model, published / f"{name}-back")
    run_transformers("read", published)
    return published


@for_each_case
def test_logits_and_greedy_tokens_are_those_of_transformers(published, case):
    model = of(CASES[case].paper).from_pretrained(published / case)
    theirs = np.load(published / f"{case}.npz")
    logits, state = model(theirs["inputs"].astype("int32"), return_state=True)
    np.testing.assert_allclose(array(logits), theirs["logits"], rtol=1e-5, atol=1e-5)
    step, last, tokens = compiled(model.step), logits[:, -1], []
    for _ in range(TOKENS):
        tokens.append(ops.cast(ops.argmax(last, axis=-1), "int32"))
        last, state = step(tokens[-1], state)
    np.testing.assert_array_equal(np.stack([array(t) for t in tokens], axis=1), theirs["tokens"])


@for_each_case
def test_transformers_loads_what_we_write(returned, case):
    sent, back = (np.load(returned / f"{case}{end}.npz") for end in ("", "-back"))
    np.testing.assert_array_equal(back["logits"], sent["logits"])


@pytest.mark.parametrize("form", ["chunkwise", "recurrent"])
@pytest.mark.parametrize("case", LAYERS)
def test_layers_compute_what_those_of_transformers_do(published, case, form):
    folder = published / f"layer-{case}"
    layer = of(LAYERS[case].paper).layer_from_pretrained(folder, LAYER, form=form)
    theirs = np.load(f"{folder}.npz")
    outputs = array(compiled(layer)(ops.convert_to_tensor(theirs["inputs"])))
    largest = np.abs(theirs["outputs"]).max()
    np.testing.assert_allclose(outputs, theirs["outputs"], rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("case", LAYERS)
def test_of_a_layer_its_files_are_enough(published, case, tmp_path, monkeypatch):
    """Those of the others are neither fetched nor missed."""
    folder = published / f"layer-{case}"
    asked = []

    def download(name, revision, allow_patterns):
        for file in allow_patterns:
            shutil.copy(folder / file, tmp_path)
        asked.extend(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    layer = of(LAYERS[case].paper).layer_from_pretrained("owner/name", LAYER, dtype="bfloat16")
    assert layer.dtype_policy.name == "bfloat16"
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    wanted = {
        file for name, file in index.items() if f"layers.{LAYER}.{LAYERS[case].module}." in name
    }
    assert {name for name in asked if name.endswith("safetensors")} == wanted
    assert wanted < set(index.values())


def test_kimi_linears_own_configuration(published, tmp_path):
    """It counts layers from 1, and its sizes stand a level deeper."""
    folder = shutil.copytree(published / "layer-kimi_delta", tmp_path / "published")
    config = json.loads((folder / "config.json").read_text())
    sizes = {
        "head_dim": config.pop("linear_head_dim"),
        "num_heads": config.pop("linear_num_heads"),
        "short_conv_kernel_size": config.pop("linear_conv_kernel_dim"),
    }
    del config["layer_types"]
    for kda_layers in ([2], [1], []):
        nested = {**sizes, "kda_layers": kda_layers, "full_attn_layers": []}
        text = json.dumps({**config, "linear_attn_config": nested})
        (folder / "config.json").write_text(text)
        if kda_layers == [2]:
            layer = of("kimi_delta").layer_from_pretrained(folder, LAYER)
            assert (layer.num_heads, layer.key_dim, layer.kernel_size) == (3, 8, 3)
            continue
        message = "one of \\[0\\]" if kda_layers else "'linear_attn_config' must be there"
        with pytest.raises(ValueError, match=message):
            of("kimi_delta").layer_from_pretrained(folder, LAYER)


@pytest.mark.parametrize("case", LAYERS)
def test_other_layers_and_models_are_refused(published, case, tmp_path):
    load = of(LAYERS[case].paper).layer_from_pretrained
    folder = shutil.copytree(published / f"layer-{case}", tmp_path / "published")
    for index in (0, 2, -1, 1.0):
        with pytest.raises(ValueError, match=rf"`index` must be one of \[1\].*; got {index}"):
            load(folder, index)
    config = json.loads((folder / "config.json").read_text())
    for key, value in (("model_type", "mamba"), ("hidden_act", "gelu")):
        (folder / "config.json").write_text(json.dumps({**config, key: value}))
        with pytest.raises(ValueError, match=f"'{key}' must be .*; got '{value}'"):
            load(folder, LAYER)
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 32}))
    with pytest.raises(ValueError, match="tensors do not fit: .* of another shape"):
        load(folder, LAYER)


# Without it.


@for_each_paper
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "mixed_bfloat16"])
def test_what_is_written_is_read(paper, dtype, tmp_path):
    model = drawn(paper, dtype=dtype, epsilon=1e-3)
    of(paper).to_pretrained(model, tmp_path / "new" / "folder")
    read = of(paper).from_pretrained(tmp_path / "new" / "folder", dtype=dtype, form="recurrent")
    assert read.mixers[0].form == "recurrent" and read.compute_dtype == model.compute_dtype
    for ours, theirs in zip(read.weights, model.weights, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(array(ours), array(theirs))
    inputs = np.array([[1, 2, 3]])
    np.testing.assert_allclose(array(read(inputs)), array(model(inputs)), rtol=1e-2, atol=1e-2)
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {
        "config.json",
        "model.safetensors",
    }


@pytest.fixture(params=OURS)
def written(request, tmp_path):
    """Paper, folder, and functions that change its configuration and its tensors."""
    paper = request.param
    of(paper).to_pretrained(drawn(paper), tmp_path)
    return Written(paper, tmp_path)


class Written:
    """A folder that a model was written to."""

    def __init__(self, paper, folder):
        self.paper, self.folder = paper, folder
        self.tensors = load_file(folder / "model.safetensors")

    def read(self):
        return of(self.paper).from_pretrained(self.folder)

    def configure(self, **changes):
        path = self.folder / "config.json"
        config = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({k: v for k, v in config.items() if v != "no"}))

    def save(self, name="model.safetensors"):
        save_file(self.tensors, self.folder / name)


def test_shards_are_put_together(written):
    whole = written.read().get_weights()
    names = sorted(written.tensors)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: written.tensors[name] for name in part}, written.folder / file)
    index = {"weight_map": {name: file for file, part in shards.items() for name in part}}
    (written.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (written.folder / "model.safetensors").unlink()
    for got, want in zip(written.read().get_weights(), whole, strict=True):
        np.testing.assert_array_equal(got, want)
    (written.folder / "b.safetensors").unlink()
    with pytest.raises(ValueError, match="has no b.safetensors"):
        written.read()


def test_one_message_tells_all_tensors_that_do_not_fit(written):
    missing = [name for name in written.tensors if name.endswith((".D", ".A_log"))]
    for name in missing:
        del written.tensors[name]
    name = "backbone.layers.1.norm.weight"
    written.tensors |= {name: np.zeros(5, "float32"), "backbone.extra": np.zeros(2, "float32")}
    written.save()
    with pytest.raises(ValueError, match="do not fit") as raised:
        written.read()
    message = str(raised.value)
    assert "4 missing: " in message and all(one in message for one in missing)
    assert "1 not expected: backbone.extra" in message
    assert f"1 of another shape: {name} (5,) (expected (8,))" in message


def test_many_names_are_cut_short(written):
    written.tensors = {"x": np.zeros(1, "float32")}
    written.save()
    with pytest.raises(ValueError, match=r"missing: [^;]* and \d+ more; 1 not expected: x\.$"):
        written.read()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "gelu"}, "'hidden_act' must be 'silu'; got 'gelu'"),
        ({"model_type": "llama"}, "'model_type' must be 'mamba2?'; got 'llama'"),
        ({"model_type": "no"}, "'model_type' must be 'mamba2?'; got None"),
        ({"architectures": ["Other"]}, "'architectures' must be .*ForCausalLM.*; got .'Other'"),
        ({"quantization_config": {"bits": 4}}, "'quantization_config' must not.*hidden_size"),
        ({"hidden_size": 0}, "units.*0"),
    ],
)
def test_what_a_configuration_may_not_have_is_named(written, changes, message):
    written.configure(**changes)
    with pytest.raises(ValueError, match=message):
        written.read()


def test_other_limits_of_the_step_size_are_refused(tmp_path):
    of("mamba2").to_pretrained(drawn("mamba2"), tmp_path)
    written = Written("mamba2", tmp_path)
    for infinity in ({"__float__": "Infinity"}, "Infinity", float("inf")):
        written.configure(time_step_limit=[0.0, infinity])
        written.read()
    written.configure(time_step_limit=[0.0, 0.1])
    with pytest.raises(ValueError, match="'time_step_limit' must be .*inf.*; got .*0.1"):
        written.read()


def test_configurations_of_earlier_versions(tmp_path):
    """The keys of state-spaces/mamba-130m-hf that transformers does not write any more."""
    of("mamba").to_pretrained(drawn("mamba"), tmp_path)
    written = Written("mamba", tmp_path)
    written.configure(
        architectures="no", d_model=8, d_inner=16, n_layer=2, ssm_cfg={}, fused_add_norm=True,
        rms_norm=True, pad_vocab_size_multiple=8, torch_dtype="float32", intermediate_size=16,
        time_step_rank=1,
    )  # fmt: skip
    written.read()


def test_embeddings_under_other_names(tmp_path):
    of("mamba").to_pretrained(drawn("mamba"), tmp_path)
    written = Written("mamba", tmp_path)
    embeddings = written.tensors.pop("backbone.embeddings.weight")
    written.tensors |= {"backbone.embedding.weight": embeddings, "lm_head.weight": embeddings}
    written.save()
    np.testing.assert_array_equal(array(written.read().embedding.embeddings), embeddings)
    written.tensors["lm_head.weight"] = embeddings + 1
    written.save()
    with pytest.raises(ValueError, match="lm_head.weight must be the same as backbone.embeddings"):
        written.read()


@for_each_paper
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "layer"}, "norm.*'rms'.*'layer'"),
        ({"logits_cap": 3.0}, "logits_cap.*None.*3.0"),
        ({"mlps": [GatedMLP(3), None]}, "mlps.*None"),
    ],
)
def test_models_that_have_no_published_form_are_refused(paper, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        of(paper).to_pretrained(drawn(paper, **options), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


@for_each_paper
def test_models_that_are_not_built_or_quantised_are_refused(paper, tmp_path):
    model = OURS[paper]()
    with pytest.raises(ValueError, match="must be built"):
        of(paper).to_pretrained(model, tmp_path)
    model.build((None, None))
    model.quantize("int8")
    with pytest.raises(ValueError, match="quantised; got 'int8'"):
        of(paper).to_pretrained(model, tmp_path)


# Folders and repositories.


def test_a_repository_is_fetched_with_what_is_needed(monkeypatch, tmp_path):
    from huggingface_hub.utils import filter_repo_objects

    asked = {}
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download",
        lambda name, **options: asked.update(options, name=name) or str(tmp_path),
    )
    assert fetch("owner/name", "v1") == tmp_path
    assert (asked["name"], asked["revision"]) == ("owner/name", "v1")
    wanted = ("config.json", "tokenizer.json", "model.safetensors.index.json")
    wanted += ("model.safetensors", "model-00001-of-00002.safetensors")
    files = (*wanted, "pytorch_model.bin", "consolidated.safetensors")
    assert tuple(filter_repo_objects(files, allow_patterns=asked["allow_patterns"])) == wanted


def test_a_failed_fetch_is_one_line(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://localhost:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match="^'owner/name' is no folder and can't be fetched: .+") as e:
        fetch("owner/name")
    assert "\n" not in str(e.value)


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"owner/name.*keras-papers\[hub\]"):
        fetch("owner/name")


@pytest.mark.parametrize("source", ["nothing", "./nothing", "a/b/c", "/a/b", Path("owner/name")])
def test_a_folder_that_is_not_there(source):
    with pytest.raises(ValueError, match="must be a folder or a repository 'owner/name'"):
        fetch(source)


def test_folders_without_what_is_needed(tmp_path):
    with pytest.raises(ValueError, match="revision.*'v1'"):
        fetch(tmp_path, "v1")
    with pytest.raises(ValueError, match="has no config.json"):
        of("mamba").from_pretrained(tmp_path)
    of("mamba").to_pretrained(drawn("mamba"), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(ValueError, match=r"has no model\.safetensors; .* safetensors only"):
        of("mamba").from_pretrained(tmp_path)
