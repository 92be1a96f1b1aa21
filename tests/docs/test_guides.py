"""What the guides and the notebooks show works as it stands there."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from papers.min_rnn import MinRNN
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
@pytest.mark.parametrize(
    ("index", "backend"), [(0, "jax"), (1, "jax"), (2, "jax"), (3, "tensorflow")]
)
def test_the_examples_of_many_devices(index, backend):
    pytest.importorskip(backend)
    flags = "--xla_force_host_platform_device_count=2" if backend == "jax" else ""
    given = {"KERAS_BACKEND": backend, "XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)}
    made = subprocess.run(
        [sys.executable, "-c", device_blocks()[index]],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert made.returncode == 0, made.stderr


# What the guide's example is followed by: that `fit` refuses, as the guide says.
AND_FIT = """
try:
    model.fit(data, verbose=0)
except ValueError as error:
    assert "PerReplica" in str(error), error
else:
    raise AssertionError("fit takes the strategy: the guide says that it does not")
np.savez({path!r}, *model.get_weights())
"""


def test_two_workers_train_as_one(tmp_path):
    paths = [str(tmp_path / f"{index}.npz") for index in range(2)]
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in paths]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        addresses = ["{}:{}".format(*one.getsockname()) for one in sockets]
    # On one GPU two processes would wait for each other.
    given = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    workers = []
    try:
        for index, path in enumerate(paths):
            task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            workers.append(
                subprocess.Popen(
                    [sys.executable, "-c", device_blocks()[4] + AND_FIT.format(path=path)],
                    env={**os.environ, **given, "TF_CONFIG": json.dumps(task)},
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        for worker in workers:
            _, said = worker.communicate(timeout=300)
            assert worker.returncode == 0, said
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()

    keras.utils.set_random_seed(0)
    model = MinRNN(vocabulary_size=16, units=8, num_layers=1)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.build((None, None))
    start = model.get_weights()
    tokens = np.random.default_rng(0).integers(0, 16, (16, 8)).astype("int32")
    model.fit(tokens, np.roll(tokens, 1, axis=1), batch_size=8, shuffle=False, verbose=0)
    trained = [list(np.load(path).values()) for path in paths]
    for before, one, first, second in zip(start, model.get_weights(), *trained, strict=True):
        assert np.abs(one - before).max() > 1e-4
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(first, one, atol=1e-6)


def device_blocks():
    blocks = python_blocks(ROOT / "docs" / "guides" / "devices.md")
    assert len(blocks) == 5
    return blocks


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
