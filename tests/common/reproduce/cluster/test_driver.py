"""What the driver makes of its tasks, with a cluster that is played by this process."""

import ast
import json
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

import common
from common.reproduce.cluster import driver, work
from common.reproduce.cluster.files import read_files, sent_when_changed, write_files
from common.reproduce.cluster.resources import Resources, environment, resources
from common.reproduce.declare.spec import Preset
from common.reproduce.execute.interrupts import Interrupted
from common.reproduce.files import locked
from tests.common.reproduce.cluster.sweep import rows

COUNT = Path("runs/tiny/count/cpu")


class Error(Exception):
    pass


class Cancelled(Error):
    pass


class Memory(Error):
    pass


class Task(Error):
    def __init__(self, cause):
        super().__init__("where it comes from")
        self.cause = cause


class Call:
    """What stands for the result of a task."""

    def __init__(self, function, *given):
        self.function, self.given = function, given


class Played:
    """A cluster of one machine, whose tasks run when they are asked for."""

    exceptions = SimpleNamespace(
        RayError=Error, TaskCancelledError=Cancelled, OutOfMemoryError=Memory, RayTaskError=Task
    )

    def __init__(self):
        self.machine = {"CPU": 4.0, "memory": 8.0 * 2**30}
        self.names = []
        self.begun = []  # called with the job, before a task

    def nodes(self):
        return [{"Alive": True, "Resources": self.machine}, {"Alive": False, "Resources": {}}]

    def remote(self, cls=None, **options):
        if cls is not None:  # the mailbox
            return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._mailbox))
        self.options = options
        return lambda function: SimpleNamespace(options=self._named)

    def _mailbox(self):
        box = driver.Mailbox()
        return SimpleNamespace(
            put=SimpleNamespace(remote=box.put),
            take=SimpleNamespace(remote=lambda: Call(box.take)),
        )

    def _named(self, name):
        self.names.append(name)
        return SimpleNamespace(remote=lambda *given: Call(work.work, *given))

    def wait(self, refs, num_returns, timeout):
        return refs, []

    def get(self, ref):
        if ref.function is work.work:
            for act in self.begun:
                act(ref.given[0])
        return ref.function(*ref.given)


@pytest.fixture
def cluster(monkeypatch, tree):
    """A cluster that `--cluster` finds everywhere."""
    played = Played()

    @contextmanager
    def connected(address, environment, verbose):
        yield played

    monkeypatch.setattr(driver, "connected", connected)
    monkeypatch.setattr(driver, "check_address", lambda address: None)
    monkeypatch.setattr(work, "pin_threads", lambda number, backend: None)
    monkeypatch.setattr(work, "PATIENCE", 0.0)
    return played


def fail(times, error):
    """Raises an error at the first tasks of the variant one."""
    left = [None] * times

    def act(job):
        if job.variant == "one" and left:
            left.pop()
            raise error

    return act


def count(run_tiny, *options):
    return run_tiny("--experiment", "count", "--cluster", "auto", *options)


def test_a_task_a_run_and_rows_in_the_drivers_file(tree, run_tiny, cluster):
    code, output, errors = count(run_tiny, "--record", "--seeds", "3", "4")
    assert (code, errors) == (0, "")
    assert cluster.options == {
        "num_cpus": 2,
        "num_gpus": 0,
        "memory": 2 * 2**30,
        "max_retries": 0,
    }
    assert len(cluster.names) == 4 and cluster.names[0].startswith("tiny one seed 3 ")
    assert len({name.split()[-1] for name in cluster.names}) == 2  # a fingerprint a variant
    found = rows(tree)
    assert [(row["variant"], row["seed"]) for row in found] == [
        ("one", "3"),
        ("one", "4"),
        ("two", "3"),
        ("two", "4"),
    ]
    assert not (tree.root / COUNT / work.TOKEN).exists()
    code, again, _ = count(run_tiny, "--record", "--seeds", "3", "4")
    assert len(cluster.names) == 4 and again.count("finished before") == 4
    assert rows(tree) == found
    table = output.index("paper  claim")
    assert output[table:] == again[again.index("paper  claim") :]


def test_rerun_moves_aside_once(tree, run_tiny, cluster):
    count(run_tiny)
    cluster.begun.append(fail(1, Error()))
    _, output, _ = count(run_tiny, "--rerun")
    assert output.count("moved to seed-0.old-1 (rerun)") == 2
    assert "one seed 0: lost its worker" in output and "finished before" not in output
    assert len(list((tree.root / COUNT / "one").iterdir())) == 2


@pytest.mark.parametrize("sees", [True, False], ids=["shared disk", "disks of their own"])
def test_files_come_back(tree, run_tiny, cluster, monkeypatch, sees):
    if not sees:
        monkeypatch.setattr(work, "_sees", lambda path, token: False)
    count(run_tiny)
    summary = json.loads((tree.root / COUNT / "two/seed-0/summary.json").read_text())
    assert summary["metrics"] == {"value": 2.0}
    assert "--cluster auto" in summary["provenance"]["command"]


def test_a_trial_that_fails_twice_is_recorded(tree, run_tiny, cluster):
    cluster.begun.append(fail(2, Task(KeyError("odd"))))
    code, output, errors = count(run_tiny)
    assert (code, errors) == (3, "")
    assert "one seed 0: failed, KeyError: 'odd'; it is tried once more" in output
    assert "one seed 0: failed, KeyError: 'odd'" in output.splitlines()
    path = tree.root / COUNT / "one/seed-0/failure.json"
    record = json.loads(path.read_text())
    assert (record["reason"], record["traceback"]) == ("KeyError: 'odd'", "where it comes from")
    assert "two seed 0: value 2" in output
    code, output, _ = count(run_tiny)
    assert code == 1 and "one seed 0: value 1" in output and not path.exists()


@pytest.mark.parametrize("error", [Error, Cancelled])
def test_a_run_that_loses_its_worker_goes_on(run_tiny, cluster, error):
    cluster.begun.append(fail(driver.LOSSES - 1, error()))
    code, output, _ = count(run_tiny)
    assert code == 1 and "one seed 0: value 1" in output
    assert output.count("one seed 0: lost its worker") == driver.LOSSES - 1


def test_a_worker_that_is_stopped_saves_and_its_run_goes_on(run_tiny, cluster, monkeypatch):
    real, left = work.run_one, [Interrupted(signal.SIGTERM, "saved")]

    def stopped(*arguments):
        if left:
            raise left.pop()
        return real(*arguments)

    monkeypatch.setattr(work, "run_one", stopped)
    code, output, errors = count(run_tiny)
    assert (code, errors) == (1, "")
    assert "one seed 0: lost its worker" in output and "one seed 0: value 1" in output


def test_a_run_that_always_loses_its_worker_has_failed(run_tiny, cluster):
    cluster.begun.append(fail(driver.LOSSES, Error()))
    code, output, _ = count(run_tiny)
    assert code == 3
    assert f"one seed 0: failed, it lost its worker {driver.LOSSES} times: Error" in output
    assert "two seed 0: value 2" in output


@pytest.mark.parametrize("sees", [True, False], ids=["shared disk", "disks of their own"])
def test_a_run_that_another_process_is_at(tree, run_tiny, cluster, monkeypatch, sees):
    if not sees:
        monkeypatch.setattr(work, "_sees", lambda path, token: False)
    directory = tree.root / COUNT / "one/seed-0"
    directory.mkdir(parents=True)
    with locked(directory):
        code, output, _ = count(run_tiny, "--variant", "one")
    assert code == 3 and "one seed 0: another process is at it" in output
    with locked(tree.root / COUNT):
        code, _, errors = count(run_tiny)
    assert code == 3 and "another command with --cluster is at it" in errors


def test_other_code_on_a_worker_is_no_run(run_tiny, cluster, monkeypatch):
    monkeypatch.setattr(work, "code_hash", lambda *_: "another")
    with pytest.raises(RuntimeError, match="is another, expected the driver's"):
        work._check_code(
            SimpleNamespace(code="ours", variant="one"),
            SimpleNamespace(
                directory=Path("a/b/c"),
                paper=SimpleNamespace(name="tiny"),
                experiment=None,
                preset="cpu",
            ),
        )


def test_a_machine_that_is_too_small(run_tiny, cluster, monkeypatch):
    cluster.machine = {"CPU": 1.0, "memory": 8.0 * 2**30}
    code, _, errors = run_tiny("--experiment", "count", "--cluster", "local")
    assert code == 2 and len(errors.splitlines()) == 1
    assert "a run takes 2 CPUs, 2 GiB, and no machine of the cluster has them" in errors
    code, output, _ = count(run_tiny)  # one may come
    assert code == 1 and "waiting for one" in output


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--cluster", "here"), "--cluster is 'here', expected local, auto or HOST:PORT."),
        (("--cluster", "local"), "pip install 'keras-papers[cluster]'"),
        (("--cluster", "local", "--experiment", "clock"), "clock is a timing"),
    ],
)
def test_what_cannot_be_is_one_line(tree, run_tiny, monkeypatch, arguments, said):
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    code, _, errors = run_tiny(*arguments)
    assert code == 2 and said in errors and len(errors.splitlines()) == 1
    assert not (tree.root / "runs").exists()


def test_a_cluster_that_does_not_answer_is_one_line(run_tiny):
    pytest.importorskip("ray", reason="needs the extra cluster")
    code, _, errors = run_tiny("--cluster", "127.0.0.1:1")
    assert code == 2 and "which does not answer" in errors and len(errors.splitlines()) == 1


def test_without_cluster_nothing_imports_ray(run_tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run_tiny("--preset", "smoke", "--variant", "narrow")[0] == 0
    assert run_tiny("--plan")[0] == 0
    for path in Path(common.__file__).parents[1].glob("[cpb]*/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "ray" for name in names), path


def test_a_plan_is_told_and_runs_nothing(tree, run_tiny):
    run_tiny("--variant", "narrow", "--seeds", "0")
    before = sorted(tree.root.rglob("*"))
    code, output, errors = run_tiny("--plan")
    assert (code, errors) == (0, "")
    assert output.splitlines() == [
        "tiny fit, preset cpu",
        "variant        runs    finished  hours each  hours left",
        "narrow            2           1     0.00167     0.00167",
        "wide              2           0     0.00167     0.00333",
        "all               4           1                   0.005",
        "On a cluster a run takes 1 CPU, a GPU where there are any, 0.5 GiB.",
    ]
    assert sorted(tree.root.rglob("*")) == before


def test_resources():
    preset = Preset(settings={}, minutes=1.0, scale="paper", cpus=4, memory_gib=1.5)
    small, large = {"CPU": 2.0, "memory": 1e10}, {"CPU": 8.0, "memory": 1e10, "GPU": 8.0}
    one = resources(preset, [small])
    assert one == Resources(4, 0, 3 * 2**29) and str(one) == "4 CPUs, 1.5 GiB"
    assert not one.fit(small) and one.fit(large)
    other = resources(preset, [small, large])
    assert other.gpus == 1 and str(other) == "4 CPUs, 1 GPU, 1.5 GiB"
    assert environment(preset, "jax")["OMP_NUM_THREADS"] == "4"


def test_files_are_sent_when_they_changed(tmp_path, monkeypatch):
    monkeypatch.setattr("common.reproduce.cluster.files.EVERY_SECONDS", 0.01)
    (tmp_path / "config.json").write_text("a")
    (tmp_path / ".lock").write_text("")
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "events").write_text("e")
    sent, came = [], threading.Semaphore(0)

    def send(files):
        sent.append(files)
        came.release()

    with sent_when_changed(tmp_path, send):
        assert came.acquire(timeout=10)
        write_files(tmp_path, {"train.checkpoint.npz": b"b"})
        assert came.acquire(timeout=10)
        time.sleep(0.05)
    assert sent == [{"config.json": b"a"}, {"train.checkpoint.npz": b"b"}]
    assert set(read_files(tmp_path)) == {"config.json", "tensorboard/events", *sent[1]}


def test_a_runs_events_replace_those_before(tmp_path):
    write_files(tmp_path, {"tensorboard/old": b"", "metrics.csv": b"1"})
    write_files(tmp_path, {"tensorboard/new": b"", "summary.json": b"{}"})
    assert set(read_files(tmp_path)) == {"metrics.csv", "summary.json", "tensorboard/new"}
