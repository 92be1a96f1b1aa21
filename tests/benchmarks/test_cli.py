"""The command line: what it refuses, what it answers at once, what it writes."""

import csv
import json
import math
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks.options import Options
from benchmarks.rows import append_row, read_rows
from common.reproduce.execute.interrupts import Interrupted
from papers import get_paper, list_papers
from tests.benchmarks.conftest import ALONE, lines, run


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--papers", "lmuu"), "--papers is 'lmuu', expected some of delta_net"),
        (("--layers", "lmu"), "--layers is 'lmu', expected some of"),
        (("--kernels", "fft"), "--kernels is 'fft', expected some of all scan"),
        (("--peers", "tourch"), "--peers is 'tourch', expected some of all none keras"),
        (("--peers", "keras LSTN"), "--peers is 'keras LSTN', expected all, none, a library or"),
        (("--length", "256", "0"), "--length is 0, expected integers >= 1"),
        (("--batch", "0"), "--batch is 0, expected an integer >= 1"),
        (("--samples", "2"), "--samples is 2, expected >= 5"),
        (("--seconds", "0"), "--seconds is 0"),
        (("--threshold", "0"), "--threshold is 0"),
        (("--compare", "nowhere.json"), "--compare is 'nowhere.json', expected a file"),
        (("--report", "nowhere"), "--report is 'nowhere', expected a file"),
        (("--layers", "lmu/lmu", "--forms", "parallel"), "--forms is"),
        (("--kernels", "dense-ssm", "--forms", "parallel"), "--forms is"),
        (("--layers", "lmu/lmu", "--width", "424"), "--width is 424, expected none with lmu"),
        (("--papers", "gla", "--width", "700"), "--width is 700, expected a multiple of 512"),
        (("--papers", "gla", "--resume"), "--output is None, expected with --resume, a run's"),
        (("--modes", "sideways"), "sideways"),
        (("--device", "tpu"), "tpu"),
    ],
)
def test_bad_arguments_say_what_is_expected(capsys, arguments, said):
    code, _, errors = run(capsys, *arguments)
    assert code == 2
    assert said in errors


def test_a_device_that_is_not_there(capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.device.default_device", lambda: "cpu")
    code, _, errors = run(capsys, "--device", "gpu")
    assert code == 2
    assert "--device is gpu, expected cpu" in errors


@pytest.mark.parametrize(
    "argument, said",
    [("--list", "min_rnn/mingru"), ("--list", "--kernels delta-rule"), ("--help", "--compare")],
)
def test_answers_at_once_without_keras(argument, said):
    script = f"""
import sys
from benchmarks.__main__ import main
try:
    main(["{argument}"])
except SystemExit:
    pass
sys.exit(len({{"keras", "tensorflow", "jax", "torch"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


def test_an_unknown_backend_is_one_line(capsys, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "foo")
    code, _, errors = run(capsys, "--quick")
    assert code == 2 and errors.count("\n") == 1
    assert errors.startswith("KERAS_BACKEND is 'foo', expected one of tensorflow")


SIZES = ("units", "_dim", "num_heads", "chunk_size", "block_size", "rank", "window", "order")


def test_every_layer_has_a_benchmark_size():
    for name in list_papers():
        for case in get_paper(name).layers:
            large = case.at_benchmark_size()
            assert case.benchmark, case.name
            assert large.benchmark == {}
            assert large.config == {
                **case.config,
                **{k: v for k, v in case.benchmark.items() if k != "input_dim"},
            }
            assert large.input_dim == case.benchmark["input_dim"]
            # The contract suite's sizes are not to be timed.
            small = {k for k in case.config if k.endswith(SIZES)} - {*case.benchmark}
            assert not small, case.name


def test_a_run_writes_its_rows_once(quick):
    code, rows, directory, output = quick(["RunningSum"], "--length", "8", "16")
    assert code == 0
    assert {path.name for path in directory.iterdir()} == {"environment.json", "rows.jsonl.gz"}
    cells = {(row.name, row.length, row.mode) for row in rows}
    forms = ("parallel", "recurrent")
    both = {(f, n, m) for f in forms for n in (8, 16) for m in ("forward", "forward+backward")}
    assert both | {("step", 1, "step")} <= cells
    for row in rows:
        assert row.status == "ok" and row.median_ms > 0
        assert row.parameters == 4
        if row.mode == "backward":
            assert row.p20_ms is None and row.flops == 2 * 4 * 2 * row.length
        else:
            assert row.p20_ms <= row.median_ms <= row.p80_ms and row.samples == 5
        seconds = row.median_ms / 1e3
        assert row.tokens_per_s == pytest.approx(2 * row.length / seconds)
        assert row.gflop_per_s == pytest.approx(row.flops / seconds / 1e9)
        assert row.gemm_fraction == pytest.approx(row.flops / seconds / 1e11)
        assert row.bandwidth_fraction == pytest.approx(row.floor_bytes / seconds / 1e10)
    forward = next(r for r in rows if (r.mode, r.length, r.name) == ("forward", 8, "parallel"))
    assert forward.floor_bytes == 4 * (2 * 8 * (4 + 4) + 4)
    assert {(one["name"], one["length"], one["mode"]) for one in lines(directory)} == cells
    facts = json.loads((directory / "environment.json").read_text())
    assert facts["samples"] == 5 and facts["roofline"]["gemm"] == {"float32": 1e11}
    assert "runningsum" in output and "% GEMM" in output
    assert "Reported speed and memory" in output


def test_tables_and_plots_are_drawn_from_the_rows(quick, capsys, tmp_path):
    _, rows, directory, printed = quick(["RunningSum"], "--length", "8", "16")
    drawn = tmp_path / "drawn"
    code, output, errors = run(capsys, "--report", directory, "--output", drawn)
    assert code == 0, errors
    assert {path.name for path in drawn.iterdir()} == {
        "min_rnn-runningsum.png",
        "results.csv",
        "results.md",
    }
    with (drawn / "results.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(rows)
    markdown = (drawn / "results.md").read_text()
    assert "## min_rnn/runningsum" in markdown and "matrix product: float32 100" in markdown
    # Verdicts change with every recorded run: they are printed, and kept in the ledger only.
    title = "Reported speed and memory"
    assert title in output and title not in markdown
    assert output[: output.index("Milliseconds")] in printed
    run(capsys, "--report", directory / "rows.jsonl.gz")
    assert {path.name for path in directory.iterdir()} == {"environment.json", "rows.jsonl.gz"}
    (directory / "environment.json").unlink()
    code, _, errors = run(capsys, "--report", directory, "--output", drawn)
    assert code == 2 and "environment.json is not there" in errors


def test_a_form_that_disagrees_is_not_timed(quick):
    code, rows, _, _output = quick(["Wrong"], "--length", "8", "--modes", "forward")
    assert code == 0
    found = {row.name: row for row in rows}
    assert found["parallel"].status == "disagrees"
    assert "outputs differ by 0.01 of the largest" in found["parallel"].message
    assert found["parallel"].median_ms is None
    assert found["recurrent"].status == "ok"


def test_a_cell_out_of_memory_does_not_end_the_run(quick):
    _, rows, _, _ = quick(["Greedy"], "--length", "8", "128", "16", "--modes", "forward")
    status = {(row.name, row.length): row.status for row in rows}
    assert status[("parallel", 128)] == "out of memory"
    assert status[("parallel", 16)] == status[("recurrent", 128)] == "ok"


def test_compare_exits_with_one_if_slower(quick, tmp_path, monkeypatch):
    # On a busy machine times spread, and those in doubt are not compared.
    monkeypatch.setattr("benchmarks.sampling.LARGEST_SPREAD", math.inf)
    arguments = ("--length", "8", "--modes", "forward")
    _, rows, directory, _ = quick(["RunningSum"], *arguments)
    before = tmp_path / "before.json"
    items = lines(directory)
    before.write_text(json.dumps([{**item, "median_ms": 1e-6} for item in items]))
    code, _, _, output = quick(["RunningSum"], *arguments, "--compare", before)
    assert code == 1
    assert f"Slower than before: {len(rows)} of {len(rows)} cells" in output
    before.write_text(json.dumps([{**item, "median_ms": 1e6} for item in items]))
    code, _, _, _ = quick(["RunningSum"], *arguments, "--compare", before)
    assert code == 0
    rest = [replace(row, median_ms=1e6) for row in rows]
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    for row in rest:
        append_row(earlier, row)
    code, _, _, output = quick(["RunningSum"], *arguments, "--compare", earlier)
    assert code == 0 and f"Slower than before: 0 of {len(rows)} cells" in output


def test_interruption_keeps_what_was_measured(capsys, quick, monkeypatch):
    from benchmarks.runner import Runner

    measured = Runner._cells

    def interrupted(self, case, variants, mode, length):
        if length == 16:
            raise Interrupted(signal.SIGINT)
        yield from measured(self, case, variants, mode, length)

    monkeypatch.setattr(Runner, "_cells", interrupted)
    code, rows, directory, output = quick(
        ["RunningSum"], "--length", "8", "16", "--modes", "forward"
    )
    assert code == 130
    assert {row.length for row in rows} == {8}
    assert "min_rnn/runningsum" in output
    code, _, errors = run(
        capsys, "--papers", "min_rnn", "--output", directory, *ALONE, "--length", "16", "8"
    )
    assert (code, len(errors.splitlines())) == (130, 1)
    assert f"Interrupted: {directory} holds what was measured." in errors


def test_a_run_is_gone_on_with(quick, monkeypatch):
    """The cells of the first run are not measured again, those of other lengths are."""
    _, before, directory, _ = quick(["RunningSum"], "--length", "8", "--modes", "forward")
    _, rows, _, output = quick(
        ["RunningSum"], "--length", "8", "16", "--modes", "forward", "--resume"
    )
    assert {row.length for row in before} == {8} and {row.length for row in rows} == {8, 16}
    assert [row for row in rows if row.length == 8] == before
    assert len(lines(directory)) == len(rows) and f"({len(rows)} rows)" in output
    monkeypatch.setattr("common.reproduce.provenance.hardware", lambda: "another machine")
    with pytest.raises(AssertionError, match="expected one on another machine"):
        quick(["RunningSum"], "--length", "8", "--resume")


def test_a_layer_of_another_width_has_more_heads_of_the_same_size():
    name = "gla/gated-linear-attention"
    case = Options(layers=(name,), width=2048).chosen_layers()[name]
    assert (case.input_dim, case.config["units"], case.config["num_heads"]) == (2048, 2048, 16)
    assert Options(layers=(name,)).chosen_layers()[name].config["num_heads"] == 4
    griffin = Options(layers=("griffin/block",), width=1024).chosen_layers()["griffin/block"]
    sizes = [griffin.config[key] for key in ("units", "recurrent_units", "num_blocks")]
    assert sizes == [1024, 4 * 352, 64]


KILLED = """
import os, signal, sys
import benchmarks.options, benchmarks.roofline
from benchmarks.__main__ import main
from benchmarks.rows import Roofline
from benchmarks.runner import Runner
from tests.benchmarks.conftest import ALONE, tiny_case

benchmarks.options._names = lambda papers: {"min_rnn/runningsum": tiny_case("RunningSum")}
benchmarks.roofline.measure_roofline = lambda device, dtype: Roofline({dtype: 1e11}, 1e10)
asked = []

def peak(self, program, variant):
    asked.append(variant)
    if len(asked) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

Runner._peak = peak
main(["--output", sys.argv[1], *ALONE, "--length", "8", "--modes", "forward"])
"""


def test_a_killed_process_leaves_the_rows_that_it_had(tmp_path):
    """Killed between two forms of one length, which are sampled together."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    (row,) = read_rows(tmp_path, "--report")
    assert (row.name, row.length, row.mode) == ("parallel", 8, "forward")
    assert (tmp_path / "environment.json").exists()
