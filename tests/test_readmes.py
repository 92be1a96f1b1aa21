"""What the READMEs show works as it stands there."""

import re
import shlex
from pathlib import Path

import keras
import numpy as np
import pytest
import tyro
from keras import ops

from common.reproduce.cli import Options
from papers import get_paper

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
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
    for block in re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, names)
    return names


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="shows a loop of TensorFlow")
def test_the_examples_of_the_repository():
    names = run_blocks(README)
    assert names["model"](np.zeros((2, 7), "int32")).shape == (2, 7, 100)
    outputs, state = names["functional"](names["x"])
    assert outputs.shape == (2, 100, 64)
    assert set(state) == set(names["state"])
    # The last step of the stream, whose state came through a call and nine steps.
    streamed = ops.convert_to_numpy(names["y_t"])
    np.testing.assert_allclose(streamed, ops.convert_to_numpy(outputs)[:, -1], atol=1e-5)
    assert names["Block"]()(names["x"]).shape == (2, 100, 64)
    assert np.isfinite(float(names["loss"]))


def test_the_front_page_is_short():
    assert README.stat().st_size <= 16 * 1024


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


@pytest.mark.parametrize("path", [README, CONTRIBUTING, *PAPERS], ids=name_of)
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
