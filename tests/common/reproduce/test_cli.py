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
        (("--variant", "wide", "thin"), "narrow wide"),
        (("--seeds", "-1"), "integers >= 0"),
        (("--preset", "big"), "smoke"),
        (("--presett", "cpu"), "--preset"),
        (("--preset", "smoke", "--record"), "expected cpu or paper"),
    ],
)
def test_bad_arguments_say_what_is_allowed(tree, arguments, said):
    done = tree.run("papers.tiny", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
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


def test_a_run_writes_what_it_says(tree):
    done = tree.run("papers.tiny", "--preset", "smoke", "--variant", "narrow")
    assert done.returncode == 0, done.stderr
    assert "smoke only" not in done.stdout and "not run" in done.stdout  # the claim is on wide
    assert "Three steps." in done.stdout
    directory = tree.root / RUN_DIR
    names = {path.name for path in directory.iterdir()}
    expected = {"config.json", "metrics.csv", "summary.json", "train.checkpoint.npz"}
    summary = json.loads((directory / "summary.json").read_text())
    if summary["backend"] == "tensorflow":
        expected.add("tensorboard")
    assert names == expected
    assert set(summary["metrics"]) == {"error"}
    assert {"compile", "train", "eval", "total"} <= set(summary["seconds"])
    origin = summary["provenance"]
    assert origin["resumptions"] == 0
    assert origin["command"] == "python -m papers.tiny --preset smoke --variant narrow"
    assert {"start", "end", "commit", "dirty", "versions", "hardware", "load_average"} <= set(
        origin
    )
    assert summary["settings"] == {"steps": 3, "pause": 0.0, "width": 4}

    again = tree.run("papers.tiny", "--preset", "smoke")  # wide is new, narrow is not
    assert "narrow seed 0: finished before" in again.stdout
    assert "smoke only" in again.stdout
    assert again.returncode == 0

    paper = tree.tiny / "paper.py"
    paper.write_text(paper.read_text().replace('{"width": 4}', '{"width": 5}'))
    changed = tree.run("papers.tiny", "--preset", "smoke", "--variant", "narrow")
    assert "finished before" not in changed.stdout
    old = json.loads((directory.parent / "seed-0.old-1" / "summary.json").read_text())
    assert old == summary
    assert json.loads((directory / "summary.json").read_text())["settings"]["width"] == 5


def test_exit_code_recording_and_ledger(tree):
    command = ("papers.tiny", "--experiment", "count", "--record")
    done = tree.run(*command)
    assert done.returncode == 1, done.stderr  # the ratio is 2, accepted from 2.5
    assert "not reproduced" in done.stdout and "nothing was trained" in done.stdout
    first = results(tree)
    assert [(row["variant"], row["seed"], row["value"]) for row in first] == [
        ("one", "0", "1.0"),
        ("two", "0", "2.0"),
    ]
    assert tree.run(*command, "--variant", "two").returncode == 0
    assert results(tree) == first
    rows = list(csv.DictReader(io.StringIO(tree.run("papers", "--csv").stdout)))
    words = {row["claim"]: row["verdict"] for row in rows}
    assert words == {"line": "not run", "two": "reproduced", "ratio": "not reproduced"}


def test_settings_must_fit_the_trial(tree):
    paper = tree.tiny / "paper.py"
    paper.write_text(paper.read_text().replace('{"width": 4}', '{"wdth": 4}'))
    done = tree.run("papers.tiny", "--preset", "smoke")
    assert "ValueError" in done.stderr
    assert "settings ['wdth'] are unknown" in done.stderr and "['width'] are missing" in done.stderr
