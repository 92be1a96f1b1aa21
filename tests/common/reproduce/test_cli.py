"""The commands as a user gives them, in subprocesses."""

import csv
import io
import json
import time

import pytest

RUN_DIR = "runs/tiny/fit/smoke/narrow/seed-0"
SECONDS = 2.0


def results(tree):
    with (tree.tiny / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("papers",), "not run"),
        (("papers", "--help"), "--update-readme"),
        (("papers.tiny", "--help"), "--preset"),
        (("papers.tiny", "--list"), "Forty steps."),
    ],
)
def test_answers_at_once(tree, arguments, said):
    tree.run(*arguments)  # compiles the bytecode
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        done = tree.run(*arguments)
        best = min(best, time.perf_counter() - start)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    assert best < SECONDS


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--experiment", "fot"), "'fit', 'count'"),
        (("--experiment", ""), "'fit', 'count'"),
        (("--variant", "wide", "thin"), "narrow wide"),
        (("--seeds", "-1"), "integers from 0 to 4294967295"),
        (("--seeds", "4294967296"), "integers from 0 to 4294967295"),
        (("--preset", "big"), "smoke"),
        (("--presett", "cpu"), "--preset"),
        (("--preset", "smoke", "--record"), "expected cpu or paper"),
    ],
)
def test_bad_arguments_say_what_is_allowed(tree, run_tiny, arguments, said):
    code, _, errors = run_tiny(*arguments)
    assert code == 2
    assert said in errors
    assert not (tree.root / "runs").exists()


def test_ledger_of_no_papers(tree):
    (tree.tiny / "paper.py").unlink()
    done = tree.run("papers")
    assert done.returncode == 0, done.stderr


def test_ledger_formats_and_readme(tree):
    (tree.tiny / "README.md").write_text("a\n<!-- ledger:begin -->\n<!-- ledger:end -->\nb\n")
    (tree.root / "README.md").write_text("no markers\n")
    rows = list(csv.DictReader(io.StringIO(tree.run("papers", "--csv").stdout)))
    assert [(row["claim"], row["verdict"]) for row in rows] == [
        ("line", "not run"),
        ("two", "not run"),
        ("ratio", "not run"),
    ]
    markdown = tree.run("papers", "--markdown").stdout
    assert "| [tiny](papers/tiny/README.md) | ratio | value of two / value of one | 3 |" in markdown
    done = tree.run("papers", "--update-readme")
    assert done.returncode == 0 and "skipped, it has no ledger markers" in done.stdout
    readme = (tree.tiny / "README.md").read_text()
    assert readme.startswith("a\n<!-- ledger:begin -->\n| claim | quantity |")
    assert "| two | value of two | 2 s | – | ± 1 % | – | not run |" in readme


def test_a_run_writes_what_it_says(tree, run_tiny):
    code, output, _ = run_tiny("--preset", "smoke", "--variant", "narrow")
    assert code == 0
    assert "Three steps." in output
    assert "narrow seed 0: error" in output
    assert "tolerance" not in output and "line" not in output  # three steps say nothing of a claim
    summary = json.loads((tree.root / RUN_DIR / "summary.json").read_text())
    names = {".lock", "config.json", "metrics.csv", "summary.json", "train.checkpoint.npz"}
    if summary["backend"] == "tensorflow":
        names.add("tensorboard")
    assert {path.name for path in (tree.root / RUN_DIR).iterdir()} == names
    assert summary["settings"] == {"steps": 3, "pause": 0.0, "width": 4, "rate": 0.001}
    assert set(summary["metrics"]) == {"error"}
    assert {"compile", "train", "eval", "total"} <= set(summary["seconds"])
    origin = summary["provenance"]
    assert origin["resumptions"] == 0 and origin["versions"]["keras"]
    told = {"start", "end", "commit", "dirty", "command", "hardware", "load_average"}
    assert told <= set(origin)


def test_finished_runs_are_kept(tree, run_tiny):
    run_tiny("--preset", "smoke", "--variant", "narrow")
    summary = (tree.root / RUN_DIR / "summary.json").read_text()
    code, output, _ = run_tiny("--preset", "smoke")
    assert code == 0
    assert "narrow seed 0: finished before" in output
    assert (tree.root / RUN_DIR / "summary.json").read_text() == summary


def test_other_settings_move_a_run_aside(tree, run_tiny):
    run_tiny("--preset", "smoke", "--variant", "narrow")
    summary = (tree.root / RUN_DIR / "summary.json").read_text()
    paper = tree.tiny / "paper.py"
    paper.write_text(paper.read_text().replace('{"width": 4}', '{"width": 5}'))
    _, output, _ = run_tiny("--preset", "smoke", "--variant", "narrow")
    assert "finished before" not in output
    assert (tree.root / f"{RUN_DIR}.old-1" / "summary.json").read_text() == summary
    new = json.loads((tree.root / RUN_DIR / "summary.json").read_text())
    assert new["settings"]["width"] == 5 and new["provenance"]["resumptions"] == 0


def test_rerun_gives_the_same_numbers(tree, run_tiny):
    run_tiny("--preset", "smoke", "--variant", "narrow")
    code, output, _ = run_tiny("--preset", "smoke", "--variant", "narrow", "--rerun")
    assert code == 0 and "finished before" not in output
    files = [(tree.root / name / "metrics.csv") for name in (RUN_DIR, f"{RUN_DIR}.old-1")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_exit_code_recording_and_ledger(tree, run_tiny):
    command = ("--experiment", "count", "--record")
    code, output, _ = run_tiny(*command)
    assert code == 1  # the ratio is 2, accepted from 2.5
    assert "not reproduced" in output and "nothing was trained" in output
    first = results(tree)
    assert [(row["variant"], row["seed"], row["metrics"]) for row in first] == [
        ("one", "0", '{"value": 1.0}'),
        ("two", "0", '{"value": 2.0}'),
    ]
    code, _, _ = run_tiny(*command, "--variant", "two")
    assert code == 0
    assert results(tree) == first
    rows = list(csv.DictReader(io.StringIO(tree.run("papers", "--csv").stdout)))
    words = {row["claim"]: row["verdict"] for row in rows}
    assert words == {"line": "not run", "two": "reproduced", "ratio": "not reproduced"}


def test_learning_curves_are_drawn(tree, run_tiny):
    _, output, _ = run_tiny("--preset", "paper")
    root = tree.root / "runs/tiny/fit/paper"
    assert "runs/tiny/fit/paper/learning_curves.png" in output
    for name in ("learning_curves.png", "wide/seed-1/learning_curve.png"):
        assert (root / name).read_bytes().startswith(b"\x89PNG")
