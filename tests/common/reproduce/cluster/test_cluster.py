"""A real Ray cluster on this machine: workers that are killed change nothing but the time."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.common.reproduce import tiny
from tests.common.reproduce.cluster.sweep import (
    RUNS,
    Sweep,
    assert_same,
    kill,
    rows,
    saved_since,
    summaries,
    table,
)

pytest.importorskip("ray", reason="needs the extra cluster")
pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="finds processes in /proc")


@pytest.fixture
def start():
    """Starts sweeps, none of which outlives its test."""
    sweeps = []

    def start(*arguments):
        sweeps.append(Sweep(*arguments))
        return sweeps[-1]

    yield start
    for sweep in sweeps:
        sweep.process.kill()


KILLS, DRIVER_KILLS, SEEDS = 30, 2, 8


def test_a_sweep_that_loses_a_worker_ends_as_one_on_this_machine(tree, run_tiny, start, tmp_path):
    code, expected, errors = run_tiny("--record")
    assert (code, errors) == (0, "")
    killed = tiny.make_tree(tmp_path / "killed")
    first = RUNS / "narrow" / "seed-0"
    shutil.copytree(tree.root / first, killed.root / first)
    moment = (killed.root / first / "summary.json").stat().st_mtime_ns

    sweep = start(killed)
    pid, directory = sweep.wait_for_worker(saved_since(0))
    kill(pid)
    output, errors = sweep.end()

    assert (sweep.process.returncode, errors) == (0, "")
    name = f"{directory.parent.name} {directory.name.replace('-', ' ')}"
    lines = output.splitlines()
    assert f"{name}: lost its worker, goes on from its last checkpoint" in lines
    assert lines[0].startswith("narrow seed 0: finished before, error ")
    assert table(output) == table(expected)
    assert assert_same(killed, tree) == 1
    assert (killed.root / first / "summary.json").stat().st_mtime_ns == moment


@pytest.mark.slow
def test_many_kills_of_workers_and_drivers(start, tmp_path):
    whole, killed = (tiny.make_tree(tmp_path / name) for name in ("whole", "killed"))
    _slow_down(whole, killed, pause=0.05)
    seeds = ("--seeds", *map(str, range(SEEDS)))
    expected = subprocess.run(
        whole.command("papers.tiny", "--record", *seeds),
        cwd=whole.root,
        env=whole.environment(),
        capture_output=True,
        text=True,
    )
    assert expected.returncode == 0, expected.stderr

    rng = random.Random(0)
    begun = time.monotonic()
    sweep = start(killed, *seeds)
    workers, drivers, finished = 0, 0, {}
    while workers < KILLS:
        # Now at any moment, which mostly is while it imports, now while it trains.
        if rng.random() < 0.4:
            pid, _ = sweep.wait_for_worker(lambda directory: True)
            time.sleep(rng.uniform(0, 5))
        else:
            pid, _ = sweep.wait_for_worker(saved_since(time.time()))
            time.sleep(rng.uniform(0, 1))
        if pid not in sweep.workers():
            continue
        kill(pid)
        workers += 1
        for name, path in summaries(killed).items():
            finished.setdefault(name, path.stat().st_mtime_ns)
        if workers in (KILLS // 3, 2 * KILLS // 3):
            sweep.process.kill()
            sweep.process.communicate()
            drivers += 1
            sweep.start()
    output, errors = sweep.end()

    assert (sweep.process.returncode, errors, drivers) == (0, "", DRIVER_KILLS)
    assert table(output) == table(expected.stdout)
    resumptions = assert_same(killed, whole)
    assert len(rows(killed)) == 2 * SEEDS
    for name, moment in finished.items():
        assert summaries(killed)[name].stat().st_mtime_ns == moment, f"{name} was run again"
    print(
        f"{workers} workers and {drivers} drivers killed over {2 * SEEDS} runs, {len(finished)} "
        f"finished before the last kill, {resumptions} resumptions, "
        f"{time.monotonic() - begun:.0f} s"
    )


@pytest.mark.slow
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_sweep_saves_and_goes_on(tree, run_tiny, start, tmp_path, number, code):
    stopped = tiny.make_tree(tmp_path / "stopped")
    _slow_down(tree, stopped)
    run_tiny("--record", "--seeds", "0")
    sweep = start(stopped, "--seeds", "0")
    sweep.wait_for_worker(saved_since(0))
    if number == signal.SIGINT:
        os.killpg(sweep.process.pid, number)  # of the whole group, as a terminal does it
    else:
        sweep.process.terminate()
    _, errors = sweep.end()
    assert sweep.process.returncode == code
    stopping, last = errors.splitlines()[1:]
    assert stopping == "Stopping: saves first. Once more stops at once, without saving."
    # The second may have begun, on the cores of the first.
    said = (
        r"Interrupted: 0 of 2 runs are finished, ([12]) under way saved; the same command goes on "
    )
    saved = re.fullmatch(said + r"from there\.", last)
    assert saved, last
    assert not sweep.workers()
    sweep.start()
    _, errors = sweep.end()
    assert (sweep.process.returncode, errors) == (0, "")
    assert assert_same(stopped, tree) == int(saved[1])


@pytest.mark.slow
def test_workers_with_disks_of_their_own(tree, run_tiny, start, tmp_path):
    apart = tiny.make_tree(tmp_path / "apart")
    _slow_down(tree, apart)
    run_tiny("--record", "--seeds", "0")
    # Every process of Python that finds this file imports it first.
    (apart.root / "sitecustomize.py").write_text(
        "import sys\n"
        "if any('default_worker' in one for one in sys.orig_argv):\n"
        "    from common.reproduce.cluster import work\n"
        "    work._sees = lambda path, token: False\n"
    )
    sweep = start(apart, "--seeds", "0")
    pid, _ = sweep.wait_for_worker(saved_since(0))
    kill(pid)
    output, errors = sweep.end()
    assert (sweep.process.returncode, errors) == (0, "")
    assert "lost its worker" in output
    assert assert_same(apart, tree) == 1
    files = [{p.name for p in (one.root / RUNS / "wide/seed-0").iterdir()} for one in (apart, tree)]
    assert files[0] == files[1]


@pytest.mark.slow
def test_a_trial_that_fails_twice_is_told_and_the_others_go_on(tree, start):
    _edit(tree, "experiments.py", "time.sleep(pause)", "assert run.variant != 'wide', 'odd'")
    sweep = start(tree, "--seeds", "0")
    output, errors = sweep.end()
    assert (sweep.process.returncode, errors) == (3, "")
    assert "wide seed 0: failed, AssertionError: odd; it is tried once more" in output
    assert "wide seed 0: failed, AssertionError: odd" in output.splitlines()
    record = json.loads((tree.root / RUNS / "wide/seed-0/failure.json").read_text())
    assert record["reason"] == "AssertionError: odd" and "experiments.py" in record["traceback"]
    assert [row["variant"] for row in rows(tree)] == ["narrow"]


def _slow_down(*trees, pause=0.1):
    """Makes a run take some seconds, so that there is time to kill it."""
    for tree in trees:
        _edit(tree, "paper.py", '"pause": 0.02', f'"pause": {pause}')


def _edit(tree, name, old, new):
    path = tree.tiny / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
