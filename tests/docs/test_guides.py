"""What the guides and the notebooks show works as it stands there."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from tests.helpers.markdown import python_blocks

ROOT = Path(__file__).parents[2]
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
# Commands alone.
COMMANDS = ("benchmark", "cluster", "gpu", "reproduce")

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the guides show TensorFlow's loops"
)


def name_of(path):
    return path.stem


@pytest.mark.parametrize(
    "path", [one for one in GUIDES if one.stem not in ("devices", *COMMANDS)], ids=name_of
)
def test_the_examples_of_a_guide(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "guide"}
    blocks = python_blocks(path)
    assert blocks
    for block in blocks:
        exec(block, names)


def test_no_other_guide_has_examples():
    for name in COMMANDS:
        assert not python_blocks(ROOT / "docs" / "guides" / f"{name}.md")


# Devices are chosen before anything is computed, so each of these has a process of its own.
@pytest.mark.parametrize(("index", "backend"), [(0, "jax"), (1, "tensorflow")])
def test_the_examples_of_many_devices(index, backend):
    pytest.importorskip(backend)
    blocks = python_blocks(ROOT / "docs" / "guides" / "devices.md")
    assert len(blocks) == 2
    flags = "--xla_force_host_platform_device_count=2" if backend == "jax" else ""
    given = {"KERAS_BACKEND": backend, "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)}
    made = subprocess.run(
        [sys.executable, "-c", blocks[index]],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_a_notebook_runs(path):
    nbformat = pytest.importorskip("nbformat", reason="needs the extra docs")
    client = pytest.importorskip("nbclient", reason="needs the extra docs")
    pytest.importorskip("ipykernel", reason="needs the extra docs")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    resources = {"metadata": {"path": str(ROOT)}}
    client.NotebookClient(notebook, timeout=300, resources=resources).execute()


def test_the_notebooks_are_light():
    assert len(NOTEBOOKS) == 2
    assert all(path.stat().st_size < 64 * 1024 for path in NOTEBOOKS)
