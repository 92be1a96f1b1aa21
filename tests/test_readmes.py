"""What the READMEs show works as it stands there."""

import json
import re
import shlex
from pathlib import Path

import keras
import numpy as np
import pytest
import tokenizers
import tyro
from keras import ops

from benchmarks.rows import read_rows
from common.reproduce.cli import Options
from papers import get_paper, mamba
from tests.helpers.markdown import python_blocks

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
REPRODUCE = ROOT / "docs" / "guides" / "reproduce.md"
PAPERS = sorted((ROOT / "papers").glob("*/README.md"))
FILE = re.compile(r"`((?:papers|common|tests|benchmarks|\.github)/[\w./]+)`")
DEFINED = re.compile(r"`([\w/]+\.py)`, `(\w+)`")
COMMAND = re.compile(r"python -m papers\.(\w+)((?: +[^\s`#&]+)*)")


def name_of(path: Path) -> str:
    """A file's path within the repository."""
    return path.relative_to(ROOT).as_posix()


def run_blocks(path: Path) -> dict:
    """Runs the Python blocks of a README, one after another, and returns what they define."""
    names: dict = {}
    for block in python_blocks(path):
        exec(block, names)
    return names


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="trains for seconds")
def test_the_example_of_a_layer_learns():
    learns, _ = python_blocks(README)
    names: dict = {}
    exec(learns, names)
    _, accuracy = names["model"].evaluate(names["x"], names["y"], verbose=0)
    assert accuracy == 1.0
    layer = names["MinGRU"](8)
    x = np.random.default_rng(0).standard_normal((2, 9, 8)).astype("float32")
    outputs = ops.convert_to_numpy(layer(x))
    y, state = layer(x[:, :8], return_state=True)
    y_t, _ = layer.step(x[:, 8], state)
    np.testing.assert_allclose(ops.convert_to_numpy(y), outputs[:, :8], atol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(y_t), outputs[:, 8], atol=1e-6)


def test_the_example_of_generation(tmp_path, capsys):
    """With a small model in a folder in place of the one that is published."""
    words = {word: index for index, word in enumerate(["The", "capital", "of", "France", "is"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="is"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    model = mamba.MambaLM(vocabulary_size=5, units=8, num_layers=1)
    model.build((None, None))
    mamba.to_pretrained(model, tmp_path)
    _, block = python_blocks(README)
    for published, local in {
        '"state-spaces/mamba-130m-hf"': repr(str(tmp_path)),
        "Tokenizer.from_pretrained(name)": "Tokenizer.from_file(name + '/tokenizer.json')",
    }.items():
        assert block.count(published) == 1
        block = block.replace(published, local)
    exec(block, {})
    written = capsys.readouterr().out.split()
    assert len(written) == 32 and set(written) <= set(words)


def test_the_times_on_a_gpu_are_recorded():
    text = README.read_text(encoding="utf-8")
    (directory,) = re.findall(r"\[all rows\]\((.*?)\)", text)
    told = dict(re.findall(r"^\| `([\w /-]+)` \| ([\d.]+) \|$", text, re.MULTILINE))
    rows = read_rows(ROOT / directory, "README.md")
    facts = json.loads((ROOT / directory / "environment.json").read_text(encoding="utf-8"))
    assert "H100" in facts["hardware"] and facts["backend"] == "jax" and len(told) > 5
    for name, milliseconds in told.items():
        (found,) = {
            row.median_ms
            for row in rows
            if name in (row.name, row.layer if row.name == "chunkwise" else None)
            and (row.mode, row.length, row.batch) == ("forward+backward", 1024, 2)
        }
        assert f"{found:.3g}" == milliseconds, name


def test_the_front_page_is_short():
    assert README.stat().st_size <= 12_000


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.parent.name)
def test_the_examples_of_a_paper(path):
    assert run_blocks(path)


@pytest.mark.parametrize("path", [CONTRIBUTING, ROOT / "tests" / "README.md"], ids=name_of)
def test_the_files_named_exist(path):
    names = FILE.findall(path.read_text(encoding="utf-8"))
    assert len(names) > 5
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_the_life_of_a_batch_names_what_is_defined():
    named = DEFINED.findall(CONTRIBUTING.read_text(encoding="utf-8"))
    assert len(named) > 8
    sources = [*ROOT.glob("common/**/*.py"), *ROOT.glob("papers/**/*.py")]
    for file, name in named:
        found = [path for path in sources if f"/{path.as_posix()}".endswith(f"/{file}")]
        texts = [path.read_text(encoding="utf-8") for path in found]
        assert any(
            re.search(rf"^(class|def|    def)? ?{name}\b", text, re.MULTILINE) for text in texts
        ), f"{name} is not in {file}"


@pytest.mark.parametrize("path", [README, CONTRIBUTING, REPRODUCE, *PAPERS], ids=name_of)
def test_the_commands_name_what_exists(path):
    commands = COMMAND.findall(path.read_text(encoding="utf-8"))
    assert commands or path != README
    for name, arguments in commands:
        paper = get_paper(name)
        options = tyro.cli(
            Options, args=shlex.split(arguments), config=(tyro.conf.FlagCreatePairsOff,)
        )
        experiment = paper.experiment(options.experiment or paper.default_experiment)
        assert options.preset in experiment.presets
        assert set(options.variant) <= set(experiment.variants)
