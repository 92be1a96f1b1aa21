import gzip
import json

import pytest

import benchmarks.options
from benchmarks.__main__ import main
from benchmarks.rows import FILE, Roofline, read_rows
from common.reproduce.declare.spec import LayerCase


def run(capsys, *arguments):
    """Exit code, output and errors of the command line, in this process."""
    try:
        code = main([str(one) for one in arguments])
    except SystemExit as error:
        code = error.code
    output = capsys.readouterr()
    return code, output.out, output.err


def lines(directory) -> list[dict]:
    """What a run wrote, a row a line."""
    with gzip.open(directory / FILE, "rt") as file:
        return [json.loads(line) for line in file]


def tiny_case(name: str) -> LayerCase:
    """The case of a class of `tests.benchmarks.layers`."""
    return LayerCase(
        name=name.lower(),
        factory=f"tests.benchmarks.layers:{name}",
        config={},
        input_dim=4,
        forms=("parallel", "recurrent"),
    )


@pytest.fixture
def tiny_papers(monkeypatch):
    """Puts the layers given by name in place of those of the papers."""

    def use(*names: str) -> None:
        cases = {f"min_rnn/{name.lower()}": tiny_case(name) for name in names}
        monkeypatch.setattr(benchmarks.options, "_names", lambda papers: cases)

    return use


QUICK = ("--device", "cpu", "--quick", "--samples", "5", "--seconds", "10", "--batch", "2")
ALONE = ("--peers", "none", *QUICK)


@pytest.fixture
def quick(tmp_path, capsys, tiny_papers, monkeypatch):
    """Runs tiny layers without peers, on a machine of known limits; exit code, rows, directory."""
    limits = Roofline({"float32": 1e11}, 1e10)
    monkeypatch.setattr("benchmarks.roofline.measure_roofline", lambda device, dtype: limits)

    def go(names, *arguments):
        tiny_papers(*names)
        directory = tmp_path / "results"
        code, output, errors = run(
            capsys, "--papers", "min_rnn", "--output", directory, *ALONE, *arguments
        )
        assert code in (0, 1, 130), errors
        return code, read_rows(directory, "--report"), directory, output

    return go
