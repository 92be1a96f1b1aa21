"""Another package or module of one of our names is told by its path, before any backend loads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def run(tmp_path):
    """Runs Python code where `tmp_path / "first"` stands before this repository on sys.path."""

    def run(code):
        path = os.pathsep.join([str(tmp_path / "first"), str(ROOT)])
        (tmp_path / "empty").mkdir()  # Python puts the directory that it runs in first
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path / "empty",
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture(params=["{}/__init__.py", "{}.py"], ids=["package", "module"])
def shadow(request, tmp_path):
    """Makes a package or module of a name, and returns its file."""

    def make(name):
        file = tmp_path / "first" / request.param.format(name)
        file.parent.mkdir(parents=True)
        file.touch()
        return file

    return make


def test_another_common_is_an_error(run, shadow):
    other = shadow("common")
    done = run("import papers")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError") and str(other) in last
    assert str(ROOT / "papers" / "__init__.py") in last


def test_another_papers_is_a_warning(run, shadow):
    other = shadow("papers")
    done = run("import common.reproduce.declare.spec; print('there')")
    assert (done.returncode, done.stdout) == (0, "there\n"), done.stderr
    assert "UserWarning" in done.stderr and str(other) in done.stderr
    assert str(ROOT / "common" / "__init__.py") in done.stderr


@pytest.mark.parametrize("order", ["papers, common", "common, papers"])
def test_ours_import_in_silence(run, order):
    heavy = "{'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)"
    done = run(f"import sys, {order}; print(sorted({heavy}))")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
