import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = "import sys; from papers.console import main; sys.argv[0] = 'keras-papers'; sys.exit(main())"


def keras_papers(*words, root=ROOT):
    command = [sys.executable, "-c", CODE, *words]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root)}
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True)


def test_the_script_is_declared():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"keras-papers": "papers.console:main"}


@pytest.mark.parametrize(
    "words, said",
    [
        ((), "usage: keras-papers COMMAND"),
        (("--help",), "usage: keras-papers COMMAND"),
        (("ledger", "lmu"), "capacity-lmu0-t100-low"),
        (("run", "lmu", "--list"), "Legendre Memory Units"),
        (("run", "lmu", "--help"), "--preset"),
        (("bench", "--list"), "lmu/lmu"),
    ],
)
def test_it_does_what_the_modules_do(words, said):
    done = keras_papers(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout


@pytest.mark.parametrize(
    "words, said",
    [
        (("leger",), "command is 'leger', expected ledger, run, bench or docs"),
        (("run",), "paper is '', expected one of delta_net "),
        (("run", "lstm"), "paper is 'lstm', expected one of delta_net "),
        (("run", "lmu", "--experiment", "capacty"), "'capacity'"),
        (("ledger", "lstm"), "'lstm'"),
    ],
)
def test_what_is_wrong_is_one_line(words, said):
    done = keras_papers(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["bench", "docs"])
def test_what_an_installation_does_not_bring_is_said(tmp_path, command):
    for name in ("papers", "common"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = keras_papers(command, root=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"keras-papers {command} needs a checkout" in done.stderr
    assert len(done.stderr.splitlines()) == 1
