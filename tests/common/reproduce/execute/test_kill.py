"""`kill -9` at any moment, then the same command: the same table, nothing run twice."""

import csv
import json
import random
import subprocess
import time
from pathlib import Path

import pytest

from tests.common.reproduce import tiny

COMMAND = ("papers.tiny", "--variant", "wide", "--record")
VOLATILE = ("date", "seconds", "command", "hardware", "process", "load", "digest")


def test_killed_runs_end_as_if_never_killed(tmp_path):
    whole = tiny.make_tree(tmp_path / "whole")
    killed = tiny.make_tree(tmp_path / "killed")
    expected = whole.run(*COMMAND)
    assert expected.returncode == 0, expected.stderr

    rng = random.Random(0)
    _kill_after(killed, rng.uniform(0, 3))  # while it imports, or later
    for seed in (0, 1):
        directory = killed.root / f"runs/tiny/fit/cpu/wide/seed-{seed}"
        _kill_while_running(killed, directory / "train.checkpoint.npz", rng.uniform(0, 0.3))
    (finished,) = _summaries(killed.root)
    moment = finished.stat().st_mtime_ns
    actual = killed.run(*COMMAND)

    assert finished.stat().st_mtime_ns == moment
    assert _table(actual.stdout) == _table(expected.stdout)
    assert _same_results(killed, whole) >= 2


@pytest.mark.slow
def test_many_kills_at_random(tmp_path):
    whole = tiny.make_tree(tmp_path / "whole")
    killed = tiny.make_tree(tmp_path / "killed")
    whole.run(*COMMAND)
    rng = random.Random(1)
    for _ in range(10):
        _kill_after(killed, rng.uniform(4, 10))
    killed.run(*COMMAND)
    _same_results(killed, whole)


def _same_results(killed: tiny.Tree, whole: tiny.Tree) -> int:
    """Compares everything the two recorded; how often runs of `killed` were resumed."""
    assert _results(killed) == _results(whole)
    summaries = _summaries(whole.root)
    assert len(summaries) == len(_results(whole)) == 2
    resumptions = 0
    for path in summaries:
        name = path.relative_to(whole.root)
        other = json.loads((killed.root / name).read_text())
        assert other["metrics"] == json.loads(path.read_text())["metrics"]
        metrics = name.with_name("metrics.csv")
        assert (killed.root / metrics).read_bytes() == (whole.root / metrics).read_bytes()
        resumptions += other["provenance"]["resumptions"]
    return resumptions


def _kill_after(tree: tiny.Tree, delay: float) -> None:
    process = _start(tree)
    time.sleep(delay)
    process.kill()
    process.wait()


def _start(tree: tiny.Tree) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        tree.command(*COMMAND),
        cwd=tree.root,
        env=tree.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _kill_while_running(tree: tiny.Tree, checkpoint: Path, delay: float) -> None:
    """Kills the command `delay` seconds after `checkpoint` first appears."""
    process = _start(tree)
    while not checkpoint.exists():
        assert process.poll() is None, f"ended before {checkpoint} was written"
        time.sleep(0.01)
    time.sleep(delay)
    assert process.poll() is None, "ended before it could be killed"
    process.kill()
    process.wait()


def _summaries(root: Path) -> list[Path]:
    return sorted(root.glob("runs/tiny/fit/cpu/*/seed-*/summary.json"))


def _table(output: str) -> list[str]:
    lines = output.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("scale:"))
    return lines[start:]


def _results(tree: tiny.Tree) -> list[dict[str, str]]:
    with (tree.tiny / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if key not in VOLATILE} for row in rows]
