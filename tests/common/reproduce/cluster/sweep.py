"""A sweep of short runs on a cluster on this machine, with processes to kill."""

import csv
import json
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests.common.reproduce import tiny

# What differs between machines and moments; the rest of a row is the run's.
VOLATILE = ("date", "seconds", "command", "hardware", "process", "threads", "load", "digest")
PATIENCE = 600.0  # seconds, of a machine that is busy with other tests
RUNS = Path("runs/tiny/fit/cpu")


class Sweep:
    """The command of a tree with `--cluster local`, started as often as needed."""

    def __init__(self, tree: tiny.Tree, *options: str):
        self.tree = tree
        self.command = tree.command("papers.tiny", "--record", "--cluster", "local", *options)
        self.process = self.start()

    def start(self):
        """Starts the command; what it prints is in a pipe."""
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            self.command,
            cwd=self.tree.root,
            env=self.tree.environment(),
            stdout=pipe,
            stderr=pipe,
            text=True,
            start_new_session=True,
        )
        return self.process

    def end(self) -> tuple[str, str]:
        """What the command printed, and its errors, when it has ended."""
        return self.process.communicate(timeout=PATIENCE)

    def workers(self) -> dict[int, Path]:
        """Processes that are at a run of this tree, to the run's directory."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                title = (path / "cmdline").read_text().partition("\0")[0].split()
                if title[:1] == ["ray::tiny"] and (path / "cwd").readlink() == self.tree.root:
                    _, variant, _, seed, _ = title
                    found[int(path.name)] = self.tree.root / RUNS / variant / f"seed-{seed}"
        return found

    def wait_for_worker(self, ready, seconds=PATIENCE) -> tuple[int, Path]:
        """The first worker whose run's directory is `ready`; fails if the command ends before."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for pid, directory in self.workers().items():
                if ready(directory):
                    return pid, directory
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)
        raise AssertionError(f"no worker was ready in {seconds} s")


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, 9)


def saved_since(moment: float):
    """Whether the run of a directory has a checkpoint that is younger than a moment."""

    def saved(directory: Path) -> bool:
        path = directory / "train.checkpoint.npz"
        return path.exists() and path.stat().st_mtime > moment

    return saved


def table(output: str) -> list[str]:
    """What a command prints after its runs."""
    lines = output.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("scale:"))
    return lines[start:]


def summaries(tree: tiny.Tree) -> dict[str, Path]:
    found = sorted((tree.root / RUNS).glob("*/seed-*/summary.json"))
    return {path.parent.relative_to(tree.root).as_posix(): path for path in found}


def rows(tree: tiny.Tree) -> list[dict[str, str]]:
    """The recorded runs, whatever their order, without what is the machine's."""
    with (tree.tiny / "results.csv").open(newline="") as file:
        found = [
            {name: value for name, value in row.items() if name not in VOLATILE}
            for row in csv.DictReader(file)
        ]
    return sorted(found, key=lambda row: (row["variant"], int(row["seed"])))


def assert_same(tree: tiny.Tree, whole: tiny.Tree) -> int:
    """Compares all that two trees recorded; how often runs of the first were resumed."""
    assert rows(tree) == rows(whole)
    found, expected = summaries(tree), summaries(whole)
    assert found.keys() == expected.keys()
    resumptions = 0
    for name, path in expected.items():
        one, other = (json.loads(p.read_text()) for p in (path, found[name]))
        assert one["metrics"] == other["metrics"] and one["probe"] == other["probe"]
        metrics = [p.with_name("metrics.csv").read_bytes() for p in (path, found[name])]
        assert metrics[0] == metrics[1]
        resumptions += other["provenance"]["resumptions"]
    return resumptions
