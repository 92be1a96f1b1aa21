"""TensorFlow's programs, run by JAX's client: they compute what TensorFlow computed."""

import json
import shutil

import keras
import numpy as np
import pytest

from benchmarks import exported
from benchmarks.options import Options
from benchmarks.rows import BOTH, Roofline
from common.reproduce.files import FileError
from tests.benchmarks.conftest import run

LAYER = "min_rnn/runningsum"
FORM = ("--forms", "parallel", "--modes", "step", "--batch", "1", "--peers", "none")
# So long that its inputs are drawn.
LENGTH = exported.SMALL // 4 + 1
ROOFLINE = Roofline({"float32": 1e11}, 1e10)


@pytest.fixture
def options(tiny_papers):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's programs")
    tiny_papers("RunningSum")
    modes = ("backward", "step")
    few = {"samples": 5, "seconds": 0.1}
    return Options(forms=("parallel",), modes=modes, batch=1, length=(LENGTH,), **few)


@pytest.fixture
def written(options, tmp_path):
    return tmp_path / "programs", exported.export(options, tmp_path / "programs")


def timed(programs, directory, options, done=()):
    return list(exported.run(programs, directory, options, "cpu", done, ROOFLINE))


def test_a_step_and_gradients_agree_and_are_timed(written, options):
    directory, programs = written
    told = json.loads((directory / exported.PROGRAMS).read_text())["programs"]
    assert [one["name"] for one in told] == ["000", "001"]
    # The upstream gradient and the inputs are drawn, not stored.
    with np.load(directory / "001.npz") as stored:
        assert max(value.size for value in stored.values()) <= exported.SMALL
    step, gradients = timed(programs, directory, options)
    assert (step.mode, step.name, step.length) == ("step", "step", 1)
    assert (gradients.mode, gradients.name, gradients.length) == (BOTH, "parallel", LENGTH)
    for row in (step, gradients):
        assert (row.status, row.message, row.layer) == ("ok", "", LAYER)
        assert (row.backend, row.compiler) == ("tensorflow", "exported")
        assert row.median_ms > 0 and row.gflop_per_s > 0
    assert timed(programs, directory, options, (step, gradients)) == []


def test_a_program_that_computes_something_else_is_not_timed(written, options, tmp_path):
    directory, programs = written
    broken_directory = tmp_path / "broken"
    shutil.copytree(directory, broken_directory)
    with np.load(directory / "001.npz") as stored:
        values = dict(stored)
    values["output1"] = values["output1"] + np.abs(values["output1"]).max()
    np.savez(broken_directory / "001.npz", **values)
    (broken_directory / "000.hlo.gz").write_bytes(b"nothing")
    broken, other = timed(programs, broken_directory, options)
    assert broken.status == "failed" and broken.median_ms is None
    assert other.status == "disagrees" and other.median_ms is None
    assert other.message == "output 1 differs by 0.5 of the largest, tolerance 0.001"


def test_what_is_drawn_is_drawn_again():
    told = {"seed": 3, "mean": 2.0, "stddev": 0.5, "shape": [300, 300]}
    values = exported.drawn(told)
    np.testing.assert_array_equal(exported.drawn(told), values)
    assert values.dtype == np.float32
    assert abs(values.mean() - 2) < 0.01 and abs(values.std() - 0.5) < 0.01
    assert exported.thinned(values).size <= 2 * exported.KEPT


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_what_does_not_fit_is_refused(written, options, monkeypatch, tmp_path, backend):
    directory, _ = written
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    with pytest.raises(FileError, match="expected a directory that --export wrote"):
        exported.load(tmp_path, "float32")
    if backend == "jax":
        assert [one.name for one in exported.load(directory, "float32")] == ["000", "001"]
        with pytest.raises(ValueError, match="--dtype is bfloat16, expected float32"):
            exported.load(directory, "bfloat16")
        with pytest.raises(ValueError, match="--export: the backend is jax"):
            exported.export(options, tmp_path)
    else:
        with pytest.raises(ValueError, match="where JAX is not the backend"):
            exported.load(directory, "float32")


def test_the_command_writes_programs(options, tmp_path, capsys):
    code, output, _ = run(capsys, "--papers", "min_rnn", "--export", tmp_path, *FORM)
    assert code == 0 and "(1 programs)" in output
    assert {path.name for path in tmp_path.iterdir()} == {"000.hlo.gz", "000.npz", "programs.json"}
