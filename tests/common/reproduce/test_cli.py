"""The commands as a user gives them, in subprocesses."""

import contextlib
import csv
import io
import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from rich.console import Console

import papers
from common.reproduce import provenance
from common.reproduce.judge.ledger import Book
from common.reproduce.judge.terminal import make_console, print_claims
from papers import get_paper, list_papers

RUN_DIR = "runs/tiny/fit/smoke/narrow/seed-0"
SECONDS = 2.0


def results(tree):
    with (tree.tiny / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def on_a_terminal(tree, *arguments):
    """What a command writes to a terminal of 80 columns."""
    pty = pytest.importorskip("pty")
    reader, writer = pty.openpty()
    environment = {**tree.environment(), "TERM": "xterm", "COLUMNS": "80"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        tree.command(*arguments), cwd=tree.root, env=environment, stdout=writer, stdin=writer
    ) as process:
        os.close(writer)
        parts = []
        with contextlib.suppress(OSError):  # how Linux tells the end of a terminal
            while part := os.read(reader, 65536):
                parts.append(part)
    os.close(reader)
    assert process.returncode == 0
    return b"".join(parts).decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("papers",), "tiny"),
        (("papers", "--help"), "--update"),
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
        (("--presett", "cpu"), "Unrecognized options: --presett, cpu"),
        (("--preset",), "'--preset'"),
        (("--seeds", "x"), "--seeds: Could not find valid parse for arguments: ['x']"),
        (("--preset", "smoke", "--record"), "expected cpu or paper"),
        (("--record", "--set", "steps=1"), "--record is given with --set"),
        (("--set", "steps"), "--set is 'steps', expected KEY=VALUE"),
        (("--set", "stps=1"), "['stps'] are unknown to papers.tiny.experiments:fit"),
        (("--show", "--set", "stps=1"), "['stps'] are unknown to papers.tiny.experiments:fit"),
    ],
)
def test_bad_arguments_say_what_is_allowed(tree, run_tiny, arguments, said):
    code, _, errors = run_tiny(*arguments)
    assert code == 2
    assert said in errors and len(errors.splitlines()) == 1
    assert not (tree.root / "runs").exists()


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("papers", "--updaet"), "Unrecognized options: --updaet"),
        (("papers", "--merge"), "'--merge'"),
        (("papers", "--json", "--csv"), "--csv --json are given, expected one of them"),
        (("papers", "--json", "--csv", "--markdown"), "--csv --json --markdown are given"),
        (("benchmarks", "--lenth", "8"), "Unrecognized options: --lenth, 8"),
        (("benchmarks", "--length", "x"), "--length"),
    ],
)
def test_bad_arguments_are_one_line(tree, arguments, said):
    done = tree.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("module", ["papers", "papers.tiny", "benchmarks"])
def test_help_is_plain_text(tree, module):
    done = tree.run(module, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert "--verbose" in done.stdout and done.stdout.isascii() and "\x1b" not in done.stdout


@pytest.mark.parametrize("option", ["--all", "--json", "--csv", "--markdown", "--help", "--verify"])
def test_a_reader_that_leaves_is_no_error(tree, option):
    reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reader.wait()
    done = subprocess.run(
        tree.command("papers", option),
        cwd=tree.root,
        env=tree.environment(),
        stdout=reader.stdin,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_ledger_of_no_papers(tree):
    (tree.tiny / "paper.py").unlink()
    done = tree.run("papers")
    assert done.returncode == 0, done.stderr


def test_ledger_formats_and_readmes(tree):
    (tree.tiny / "README.md").write_text("a\n<!-- ledger:begin -->\n<!-- ledger:end -->\nb\n")
    (tree.root / "README.md").write_text("no markers\n")
    rows = list(csv.DictReader(io.StringIO(tree.run("papers", "--csv").stdout)))
    assert [(row["claim"], row["verdict"]) for row in rows] == [
        ("line", "not run"),
        ("two", "not run"),
        ("ratio", "not run"),
    ]
    (one,) = json.loads(tree.run("papers", "--json").stdout)
    assert (one["paper"], one["holds"]) == ("tiny", "undecided")
    assert [row["claim"] for row in one["claims"]] == ["line", "two", "ratio"]
    markdown = tree.run("papers", "--markdown").stdout
    assert (
        "| `ratio` | value of two / value of one | 3 ([Table 2](https://example.org)) |" in markdown
    )
    done = tree.run("papers", "--update")
    assert done.returncode == 0 and "skipped, it has no ledger markers" in done.stdout
    assert (tree.root / "papers/LEDGER.md").read_text() == markdown
    readme = (tree.tiny / "README.md").read_text()
    assert readme.startswith("a\n<!-- ledger:begin -->\nHeadline: Two is two. **undecided**.")
    assert readme.endswith("<!-- ledger:end -->\nb\n")


@pytest.mark.parametrize("arguments", [(), ("tiny",), ("--all",)])
def test_the_ledger_fits_a_terminal_of_80_columns(tree, arguments):
    written = on_a_terminal(tree, "papers", *arguments)
    assert "\x1b" in written
    lines = re.sub(r"\x1b\[[\d;]*m", "", written).splitlines()
    assert max(map(len, lines)) <= 80
    told = "not run; accepted 2.5 to 3.5." if arguments else "the twentieth digit (Table 9)"
    assert any(told in line for line in lines)


@pytest.mark.parametrize("colour", [True, False], ids=["colour", "NO_COLOR"])
def test_no_colour_where_none_is_wanted(colour, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    print_claims(make_console(), Book(get_paper("lmu"), Path(papers.__file__).parent / "lmu"))
    assert ("\x1b[32m" in capsys.readouterr().out) == colour


@pytest.mark.parametrize("name", list_papers())
def test_the_claims_of_a_paper_fit_80_columns_and_break_no_word(name):
    book = Book(get_paper(name), Path(papers.__file__).parent / name)
    texts = []
    for terminal in (True, False):
        file = io.StringIO()
        console = Console(file=file, force_terminal=terminal, width=80, color_system=None)
        print_claims(console, book)
        texts.append(file.getvalue())
    assert max(map(len, texts[0].splitlines())) <= 80
    assert set(texts[0].split()) <= set(texts[1].split())
    assert len(texts[0].splitlines()) > len(texts[1].splitlines())


def test_in_a_pipe_a_claim_is_one_line(tree):
    lines = tree.run("papers", "--all").stdout.splitlines()
    assert [line.split() for line in lines if "accepted 2.5 to 3.5" in line] == [
        ["tiny", "ratio", "3", "–", "exact", *["not", "run;", "accepted", "2.5", "to", "3.5."]]
    ]
    assert sum(line.startswith("tiny ") for line in lines) == 3
    told = tree.run("papers.tiny", "--list").stdout.splitlines()
    assert "  cpu: 0.4 minutes, 0.1 a run; variants narrow wide; seeds 0 1; Forty steps." in told


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_run_prints_nothing_but_its_own(tree, backend):
    """In a shell that sets nothing of what the libraries read."""
    environment = {**tree.environment(), "KERAS_BACKEND": backend}
    del environment["TF_CPP_MIN_LOG_LEVEL"]
    command = tree.command("papers.tiny", "--preset", "smoke", "--variant", "narrow")
    done = subprocess.run(command, cwd=tree.root, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    first, *rest = done.stdout.splitlines()
    assert first.startswith("narrow seed 0: error ")
    assert rest == [
        "scale: reduced. Three steps.",
        "no verdicts: the code runs, which is all that smoke shows",
        "runs:    runs/tiny/fit/smoke",
        f"model:   {RUN_DIR}/model.keras",
        "curves:  runs/tiny/fit/smoke/learning_curves.png",
    ]


def test_an_unknown_paper_is_a_bad_argument(tree):
    done = tree.run("papers", "tny")
    assert (done.returncode, done.stdout) == (2, "")
    assert "name is 'tny', expected one of ('tiny',)" in done.stderr
    done = tree.run("papers", "tiny", "--update")
    assert done.returncode == 2 and "--update is given with tiny" in done.stderr


def test_a_run_writes_what_it_says(tree, run_tiny):
    code, output, _ = run_tiny("--preset", "smoke", "--variant", "narrow")
    assert code == 0
    assert "Three steps." in output
    assert "narrow seed 0: error" in output
    assert "tolerance" not in output and "line" not in output  # three steps say nothing of a claim
    summary = json.loads((tree.root / RUN_DIR / "summary.json").read_text())
    names = {".lock", "config.json", "metrics.csv", "summary.json"}
    names |= {"model.keras", "train.checkpoint.npz", "learning_curve.png"}
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


def test_show_prints_the_resolved_settings_and_runs_nothing(tree, run_tiny):
    code, output, _ = run_tiny("--show", "--preset", "smoke", "--set", "pause=0.5")
    assert code == 0 and not (tree.root / "runs").exists()
    assert "fit: papers.tiny.experiments:fit\npreset smoke, scale: reduced. Three steps." in output
    assert "seeds 0\n" in output
    narrow, wide = output.split("\n\n")[1:]
    assert narrow.startswith("narrow, fingerprint ") and wide.startswith("wide, fingerprint ")
    assert narrow.splitlines()[1:] == [
        "  width=4",
        "  steps=3",
        "  pause=0.5  (--set)",
        "  rate=0.001  (default)",
    ]


def test_set_changes_a_run_that_is_neither_mixed_with_others_nor_judged(tree, run_tiny):
    command = ("--experiment", "count", "--variant", "two")
    run_tiny(*command)
    summary = tree.root / "runs/tiny/count/cpu/two/seed-0/summary.json"
    before = summary.read_text()
    code, output, _ = run_tiny(*command, "--set", "value=5.0")
    assert code == 0
    assert "two seed 0: value 5" in output and "with --set value" in output
    assert "reproduced" not in output
    assert summary.read_text() == before
    (other,) = (tree.root / "runs/tiny/count").glob("cpu-set-*/two/seed-0/summary.json")
    changed, declared = json.loads(other.read_text()), json.loads(before)
    assert changed["settings"] == {"value": 5.0}
    assert changed["fingerprint"] != declared["fingerprint"]


def test_set_reaches_the_processes_of_a_timing(tree, run_tiny, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", tree.environment()["PYTHONPATH"])
    clock = tree.tiny / "clock.py"
    clock.write_text(clock.read_text().replace("def clock(run)", "def clock(run, *, extra=0)"))
    command = ("--experiment", "clock", "--variant", "one", "--seeds", "0", "1")
    code, _, errors = run_tiny(*command, "--set", "extra=7")
    assert code == 0, errors
    summaries = list((tree.root / "runs/tiny/clock").glob("cpu-set-*/one/seed-*/summary.json"))
    assert len(summaries) == 2
    assert all(json.loads(path.read_text())["settings"] == {"extra": 7} for path in summaries)


def test_freed_memory_is_kept_for_what_trains_alone(run_tiny, monkeypatch):
    asked = []
    name = "common.reproduce.execute.attempt.keep_freed_memory"
    monkeypatch.setattr(name, lambda: asked.append(True))
    _, output, _ = run_tiny("--experiment", "count")
    assert "two seed 0: value 2" in output and not asked
    _, output, _ = run_tiny("--preset", "smoke", "--variant", "narrow")
    assert "narrow seed 0: error" in output and asked == [True]


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


def test_exit_code_recording_and_ledger(tree, run_tiny, monkeypatch):
    monkeypatch.setattr(provenance, "commit", lambda directory: ("0" * 40, False))
    assert "tiny: ratio declared" in tree.run("papers", "--declare").stdout
    time.sleep(1.1)  # dates are in seconds
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


def test_verify(tree, run_tiny):
    run_tiny("--experiment", "count", "--record")
    assert tree.run("papers", "--update").returncode == 0
    done = tree.run("papers", "--verify")
    assert done.returncode == 0
    assert done.stdout == "1 paper: every row of results.csv is as it was written\n"
    path = tree.tiny / "results.csv"
    text = path.read_text()
    for position in (3, len(text) // 2, len(text) - 2):
        other = "7" if text[position] != "7" else "8"
        path.write_text(text[:position] + other + text[position + 1 :])
        done = tree.run("papers", "--verify")
        assert done.returncode == 2 and "results.csv" in done.stderr
    # Rows that are cut off at the end leave a chain that holds: the ledger knows how long it was.
    path.write_text("".join(text.splitlines(keepends=True)[:-1]))
    done = tree.run("papers", "--verify")
    assert done.returncode == 2 and "1 rows, expected the 2 of LEDGER.md" in done.stderr


def test_learning_curves_are_drawn(tree, run_tiny):
    _, output, _ = run_tiny("--preset", "paper")
    root = tree.root / "runs/tiny/fit/paper"
    assert "runs/tiny/fit/paper/learning_curves.png" in output
    for name in ("learning_curves.png", "wide/seed-1/learning_curve.png"):
        assert (root / name).read_bytes().startswith(b"\x89PNG")


def test_only_what_was_run_is_judged_and_the_table_is_kept(tree, run_tiny):
    code, output, _ = run_tiny("--experiment", "count", "--variant", "two")
    assert code == 0 and "two" in output and "ratio" not in output
    assert "1 claim on other variants than these, which were not run" in output
    root = "runs/tiny/count/cpu"
    assert f"figure:  {root}/results.png\ntable:   {root}/verdicts.csv\n" in output
    assert (tree.root / root / "results.png").read_bytes().startswith(b"\x89PNG")
    with (tree.root / root / "verdicts.csv").open(newline="") as file:
        assert [row["claim"] for row in csv.DictReader(file)] == ["two"]
