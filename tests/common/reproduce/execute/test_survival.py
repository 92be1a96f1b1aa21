"""What goes wrong in a run: each ends in one line, an exit code of its own, and a way out."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from common.reproduce import command, files, provenance
from common.reproduce.execute import attempt, batch, interrupts
from common.reproduce.files import content_digest, locked

SMOKE = ("--preset", "smoke", "--variant", "narrow")
RUN_DIR = "runs/tiny/fit/smoke/narrow/seed-0"


@pytest.fixture
def edit(tree):
    """Replaces text in a file of the tiny paper."""

    def replace(name, old, new):
        path = tree.tiny / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return replace


@pytest.fixture
def directory(tree):
    """Of a run."""
    return tree.root / RUN_DIR


def one_line(errors):
    assert errors.endswith("\n") and errors.count("\n") == 1, errors
    assert "Traceback" not in errors
    return errors


def test_a_diverged_run_fails_and_none_of_its_metrics_counts(tree, run_tiny, edit):
    edit("paper.py", '{"width": 8}', '{"width": 8, "rate": 1e30}')
    command = ("--preset", "paper", "--variant", "wide", "--seeds", "0", "--record")
    code, output, errors = run_tiny(*command)
    assert (code, errors) == (1, "")
    assert "wide seed 0: diverged, loss is" in output and "at step 2" in output
    path = tree.root / "runs/tiny/fit/paper/wide/seed-0/summary.json"
    summary = json.loads(path.read_text())
    assert (summary["status"], summary["metrics"], summary["diverged_at"]) == ("diverged", {}, 2)
    with (tree.tiny / "results.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["status"], json.loads(row["metrics"])) == ("diverged", {"diverged_at": 2})
    assert "not reproduced" in output.partition("grade  verdict")[2]
    code, output, _ = run_tiny(*command)
    assert code == 1 and "wide seed 0: finished before, diverged" in output


def test_a_diverged_smoke_run_fails_too(run_tiny, edit):
    edit("paper.py", '{"width": 4}', '{"width": 4, "rate": 1e30}')
    assert run_tiny(*SMOKE)[0] == 1


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_is_saved_and_says_so(tree, run_tiny, edit, number, code):
    kill = f"import signal; signal.raise_signal({int(number)}) if step == 1 else None"
    edit("experiments.py", "time.sleep(pause)", f"time.sleep(pause); {kill}")
    assert run_tiny(*SMOKE)[0] == code
    code_again, _, errors = run_tiny(*SMOKE, "--rerun")
    assert code_again == code
    saved = f"{RUN_DIR}/train.checkpoint.npz holds step 2"
    assert one_line(errors) == (
        f"Interrupted: {saved}; the same command without --rerun goes on from there.\n"
    )
    edit("experiments.py", f"; {kill}", "")
    assert run_tiny(*SMOKE)[0] == 0
    summary = json.loads((tree.root / RUN_DIR / "summary.json").read_text())
    assert summary["provenance"]["resumptions"] == 1
    metrics = tree.root / RUN_DIR / "metrics.csv"
    cut = metrics.read_bytes()
    run_tiny(*SMOKE, "--rerun")
    assert metrics.read_bytes() == cut


@pytest.mark.parametrize("what, dirty", [("commit", False), ("code", True), ("library", True)])
def test_a_run_that_goes_on_with_another_program_is_no_result(
    tree, run_tiny, edit, monkeypatch, what, dirty
):
    monkeypatch.setattr(provenance, "commit", lambda directory: ("0" * 40, False))
    monkeypatch.setenv("KILL_AT", "1")
    kill = "os.getenv('KILL_AT') == str(step) and __import__('signal').raise_signal(2)"
    edit("experiments.py", "time.sleep(pause)", f"time.sleep(pause); {kill}")
    edit("experiments.py", "import time", "import os, time")
    assert run_tiny(*SMOKE)[0] == 130
    monkeypatch.delenv("KILL_AT")
    versions = provenance.versions()
    if what == "commit":
        monkeypatch.setattr(provenance, "commit", lambda directory: ("1" * 40, False))
    elif what == "code":
        monkeypatch.setattr(attempt, "code_hash", lambda *args: "0" * 12)
    else:
        monkeypatch.setattr(provenance, "versions", lambda: versions | {"keras": "3.0.0"})
    assert run_tiny(*SMOKE)[0] == 0
    summary = json.loads((tree.root / RUN_DIR / "summary.json").read_text())["provenance"]
    assert (summary["resumptions"], summary["dirty"]) == (1, dirty)


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in interrupts.SIGNALS]
    with interrupts.raised():
        assert [signal.getsignal(number) for number in interrupts.SIGNALS] != before
    assert [signal.getsignal(number) for number in interrupts.SIGNALS] == before


def _spoil(name, content):
    def spoil(directory):
        (directory / "summary.json").unlink()  # as if it had been killed
        (directory / name).write_bytes(content)

    return spoil


def _spoil_summary(content):
    return lambda directory: (directory / "summary.json").write_bytes(content)


def _other_shapes(directory):
    (directory / "summary.json").unlink()
    source = directory.parents[1] / "wide" / "seed-0" / "train.checkpoint.npz"
    shutil.copy(source, directory / "train.checkpoint.npz")


@pytest.mark.parametrize(
    "spoil, said",
    [
        (_spoil("config.json", b""), "config.json, line 1: Expecting value, expected JSON"),
        (_spoil("config.json", b"{}"), "config.json: attempts are None, expected a list"),
        (_spoil_summary(b""), "summary.json, line 1: Expecting value"),
        (_spoil_summary(b'{"metrics": {"err'), "summary.json, line 1: "),
        (_spoil_summary(b"{}"), "summary.json: digest is None, expected one"),
        (_spoil_summary(b"\xff\xfe"), "summary.json: byte 0 is no UTF-8"),
        (_spoil("train.checkpoint.npz", b""), "train.checkpoint.npz is damaged (EOFError)"),
        (_spoil("train.checkpoint.npz", b"PK\x03\x04"), "train.checkpoint.npz is damaged (Bad"),
        (_other_shapes, "is of another model (of another shape: sequential/dense/kernel (4, 8), "),
    ],
)
def test_a_damaged_run_is_named_and_rerun_gets_out(run_tiny, directory, spoil, said):
    run_tiny(*SMOKE)
    if spoil is _other_shapes:
        run_tiny("--preset", "smoke", "--variant", "wide")
    metrics = (directory / "metrics.csv").read_bytes()
    spoil(directory)
    for _ in range(2):
        code, _, errors = run_tiny(*SMOKE)
        assert code == 2
        assert said in one_line(errors) and str(RUN_DIR) in errors
    code, output, errors = run_tiny(*SMOKE, "--rerun")
    assert (code, errors) == (0, "")
    assert "moved to seed-0.old-1 (rerun)" in output
    assert (directory / "metrics.csv").read_bytes() == metrics
    assert run_tiny(*SMOKE)[0] == 0


def test_rerun_starts_an_unfinished_run_again(run_tiny, directory):
    run_tiny(*SMOKE)
    (directory / "summary.json").unlink()
    code, output, _ = run_tiny(*SMOKE, "--rerun")
    assert code == 0 and "moved to seed-0.old-1 (rerun)" in output
    assert json.loads((directory / "summary.json").read_text())["provenance"]["resumptions"] == 0


def test_files_without_a_config_are_moved_aside(run_tiny, directory):
    directory.mkdir(parents=True)
    (directory / "train.checkpoint.npz").write_bytes(b"of something else")
    code, output, _ = run_tiny(*SMOKE)
    assert code == 0 and "moved to seed-0.old-1 (it lacks config.json)" in output


def test_an_edited_metric_is_not_trusted(run_tiny, directory):
    run_tiny(*SMOKE)
    path = directory / "summary.json"
    summary = json.loads(path.read_text())
    summary["metrics"]["error"] = 0.0
    path.write_text(json.dumps(summary))
    code, output, errors = run_tiny(*SMOKE)
    assert code == 2 and "finished before" not in output
    assert "summary.json: digest is" in one_line(errors)


def test_empty_metrics_are_refused(run_tiny, directory):
    run_tiny(*SMOKE)
    path = directory / "summary.json"
    summary = json.loads(path.read_text())
    del summary["digest"]
    summary["metrics"] = {}
    path.write_text(json.dumps({**summary, "digest": content_digest(summary)}))
    code, _, errors = run_tiny(*SMOKE)
    assert code == 2
    assert "summary.json: metrics are [], expected ['error']" in one_line(errors)


def test_what_others_put_into_a_run_is_left_alone(run_tiny, directory):
    (directory / ".ipynb_checkpoints").mkdir(parents=True)
    (directory / ".metrics.csv.abc.tmp").write_text("half")
    code, output, errors = run_tiny(*SMOKE)
    assert (code, errors) == (0, "") and "moved" not in output
    assert (directory / ".ipynb_checkpoints").is_dir()
    assert not (directory / ".metrics.csv.abc.tmp").exists()


def test_any_other_error_is_one_line(run_tiny, edit):
    edit("experiments.py", "run.log(width=width)", 'raise RuntimeError("no\\nmemory")')
    code, _, errors = run_tiny(*SMOKE)
    assert code == 3
    assert one_line(errors) == "narrow seed 0: RuntimeError: no memory (--verbose shows where)\n"
    code, _, errors = run_tiny(*SMOKE, "--verbose")
    assert code == 3 and "Traceback" in errors and "experiments.py" in errors


def test_a_bad_value_in_a_trial_is_no_bad_argument(run_tiny, edit):
    edit("experiments.py", "run.log(width=width)", 'raise ValueError("odd")')
    code, _, errors = run_tiny(*SMOKE)
    assert code == 3
    assert one_line(errors) == "narrow seed 0: ValueError: odd (--verbose shows where)\n"


def test_a_full_disk_is_one_line(run_tiny, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    code, _, errors = run_tiny(*SMOKE)
    assert code == 3 and "No space left on device" in one_line(errors)


def test_a_runs_dir_that_cannot_be_written_is_one_line(tree, run_tiny):
    (tree.root / "file").write_text("")
    code, _, errors = run_tiny(*SMOKE, "--runs-dir", "file/runs")
    assert code == 3 and "file/runs" in one_line(errors)


def test_an_unknown_backend_is_one_line(run_tiny, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "foo")
    code, _, errors = run_tiny(*SMOKE)
    assert code == 2
    assert one_line(errors).startswith("KERAS_BACKEND is 'foo', expected one of tensorflow")


def test_settings_must_fit_the_trial(tree, run_tiny, edit):
    edit("paper.py", '{"width": 4}', '{"wdth": 4}')
    code, _, errors = run_tiny(*SMOKE)
    assert code == 2
    assert "['wdth'] are unknown" in one_line(errors) and "['width'] are missing" in errors
    assert not (tree.root / "runs").exists()


def test_metrics_must_be_those_declared(run_tiny, edit):
    edit("experiments.py", '{"value": value}', '{"valeu": value}')
    code, _, errors = run_tiny("--experiment", "count")
    assert code == 3
    assert "returned ['valeu'], expected exactly the metrics" in one_line(errors)


def test_a_second_run_takes_what_is_free(tree, run_tiny):
    command = ("--preset", "smoke", "--variant", "narrow", "--seeds", "0", "1")
    (tree.root / RUN_DIR).mkdir(parents=True)
    with locked(tree.root / RUN_DIR):
        code, output, errors = run_tiny(*command)
    assert (code, errors) == (3, "")
    assert "narrow seed 1: error" in output
    assert "narrow seed 0: another process is at it, and has not finished" in output.splitlines()
    code, output, _ = run_tiny(*command)
    assert code == 0
    assert "narrow seed 1: finished before" in output and "another process" not in output


def test_what_becomes_free_meanwhile_is_taken(tree, run_tiny, monkeypatch):
    (tree.root / RUN_DIR).mkdir(parents=True)
    other = locked(tree.root / RUN_DIR)
    other.__enter__()
    add = batch.Outcome.add

    def then_free(*arguments):
        if "free" not in done:
            done.append("free")
            other.__exit__(None, None, None)
        add(*arguments)

    done = []
    monkeypatch.setattr(batch.Outcome, "add", then_free)
    code, output, _ = run_tiny("--preset", "smoke", "--variant", "narrow", "--seeds", "0", "1")
    assert code == 0 and "narrow seed 0: error" in output


def test_a_timing_takes_a_process_a_seed(tree, run_tiny, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", tree.environment()["PYTHONPATH"])
    command = ("--experiment", "clock", "--seeds", "0", "1", "--record")
    code, output, errors = run_tiny(*command)
    assert (code, errors) == (0, "")
    with (tree.tiny / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ids = {row["seed"]: set() for row in rows}
    for row in rows:
        ids[row["seed"]].add(row["process"])
        assert float(row["process"].split()[-1]) == json.loads(row["metrics"])["process"]
    assert len(rows) == 4 and all(len(one) == 1 for one in ids.values())
    assert ids["0"] != ids["1"] and os.getpid() not in ids
    with_all = output
    code, output, _ = run_tiny(*command)  # starts no process again
    assert code == 0 and len(with_all.splitlines()) == len(output.splitlines())
    with (tree.tiny / "results.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == rows


def test_a_failed_process_of_a_seed_says_why_once(tree, run_tiny, edit, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", tree.environment()["PYTHONPATH"])
    edit("clock.py", "return", 'raise RuntimeError("broken")\n    return')
    code, _, _errors = run_tiny("--experiment", "clock", "--variant", "one", "--seeds", "0", "1")
    assert code == 3


def test_a_run_is_quiet_but_for_its_own_output(tree):
    environment = tree.environment()
    del environment["TF_CPP_MIN_LOG_LEVEL"]
    done = subprocess.run(
        tree.command("papers.tiny", *SMOKE),
        cwd=tree.root,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("narrow seed 0: error")


NOISE = b"""WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795787341.257514    8586 cudart_stub.cc:31] Could not find cuda drivers
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow
E0000 00:00:1795787349.574421    8586 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA
W0000 00:00:1700000000.000000    1 gpu_device.cc:1] Cannot dlopen some GPU libraries.
2026-11-27 13:00:00.000000: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.
"""
ERRORS = b"""E0000 00:00:1795787349.574421    8586 cuda_dnn.cc:52] Loaded runtime CuDNN library: 9.1
2026-11-27 13:00:00.000000: E tensorflow/stream_executor] out of memory
F0000 00:00:1795787349.574421    8586 any.cc:52] Check failed
Segmentation fault
"""


def test_errors_of_the_libraries_pass_the_filter():
    filtered = [sys.executable, "-c", command._FILTER]
    done = subprocess.run(filtered, input=NOISE + ERRORS, capture_output=True)
    assert done.stdout == ERRORS


def test_the_last_words_of_a_crash_are_not_lost():
    code = (
        "import os, sys; from common.reproduce.command import quiet; quiet()\n"
        "print('ours', file=sys.stderr)\n"
        "os.write(2, b'I0000 noise\\nF0000 the end\\n'); os.abort()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == -signal.SIGABRT
    assert sorted(done.stderr.splitlines()) == [b"F0000 the end", b"ours"]
