"""The order of imports: Triton after TensorFlow ends a process, as this stand-in of it does."""

import subprocess
import sys

import pytest

TRITON = """
import os, sys
if "tensorflow" in sys.modules:
    os.abort()
"""


@pytest.fixture
def python(tmp_path):
    """Runs a script where PyTorch and Triton are stand-ins; its exit code and output."""
    for name, text in (("torch", ""), ("triton", TRITON), ("triton/language", TRITON)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)

    def go(script: str, *arguments: str):
        script = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n{script}"
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            capture_output=True,
            text=True,
            env={"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": ""},
        )
        return done.returncode, done.stdout + done.stderr

    return go


# What a run does first, in place of the run.
COMMAND = """
import benchmarks.__main__ as command

def run(options, device, directory, console):
    import tensorflow, triton
    print("came through")
    return [], False

command._run = run
sys.exit(command.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("arguments", [("--papers", "mamba2"), ("--kernels", "lstm")])
def test_triton_comes_before_tensorflow(python, arguments):
    code, output = python(COMMAND, "--quick", *arguments)
    assert (code, "came through" in output) == (0, True), output


def test_the_stand_in_ends_a_process_in_the_other_order(python):
    code, output = python(COMMAND, "--quick", "--papers", "mamba2", "--peers", "none")
    assert code < 0 and "came through" not in output


def test_peers_of_torch_are_absent_where_tensorflow_came_first(python):
    code, output = python(
        """
import tensorflow
from benchmarks.models import Shape
from benchmarks.peers import find_peers
found, absent = find_peers(Shape("float32", "cpu", 8, 8, 2))
print(sorted(absent), absent["torch"], "keras LSTM" in found, "torch" in sys.modules)
"""
    )
    assert code == 0, output
    libraries = ["fla", "mambapy", "torch", "transformers"]
    assert f"{libraries} TensorFlow was imported before Triton" in output
    assert "end the process True False" in output
