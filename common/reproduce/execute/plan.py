"""What a command runs, and what its runs left in their directories. Imports no Keras."""

import importlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.reproduce import provenance
from common.reproduce.declare.spec import Experiment, Paper, Settings
from common.reproduce.files import LOCK, FileError, content_digest, locked, read_json, write_json

OK = "ok"
DIVERGED = "diverged"

_AGAIN = "Run again with --rerun, which sets it aside"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run.

    Attributes:
        paper: the paper.
        directory: of its package.
        experiment: one of its experiments.
        preset: name of the preset.
        variants: names of the variants.
        seeds: the seeds.
        runs_dir: where runs go.
        data_dir: where datasets are; None for the default of TFDS.
        record: whether to add what is finished to results.csv.
        rerun: whether to start again what is there, finished or not.
        verbose: whether to show what the libraries say.
        overrides: settings that `experiment` has from the command line.
        command: the command line, as its runs record it.
    """

    paper: Paper
    directory: Path
    experiment: Experiment
    preset: str
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    runs_dir: Path
    data_dir: Path | None = None
    record: bool = False
    rerun: bool = False
    verbose: bool = False
    overrides: Settings = field(default_factory=dict)
    command: str = field(default_factory=provenance.command)

    @property
    def root(self) -> Path:
        """Directory of the experiment's runs at this preset, or with other settings than its."""
        name = self.preset
        if self.overrides:
            name += f"-set-{content_digest(dict(self.overrides))[:8]}"
        return self.runs_dir / self.paper.name / self.experiment.name / name

    def run_dir(self, variant: str, seed: int) -> Path:
        """Directory of one run."""
        return self.root / variant / f"seed-{seed}"


def package_directory(paper: Paper) -> Path:
    """Directory of the package `papers.<name>`."""
    file = importlib.import_module(f"papers.{paper.name}").__file__
    assert file is not None, "papers are packages with an __init__.py"
    return Path(file).parent


def write_summary(directory: Path, summary: dict[str, Any]) -> None:
    """Writes summary.json, with a digest that shows whether it was changed since."""
    write_json(directory / "summary.json", {**summary, "digest": content_digest(summary)})


def read_summary(plan: Plan, variant: str, seed: int) -> dict[str, Any] | None:
    """What a finished run left in its summary.json; None if it is not finished.

    Raises:
        FileError: if the file is damaged, was changed, or lacks a metric.
    """
    path = plan.run_dir(variant, seed) / "summary.json"
    summary = read_json(path)
    if summary is None:
        return None
    digest = summary.pop("digest", None)
    if digest != content_digest(summary):
        expected = content_digest(summary) if digest else "one"
        raise FileError(
            f"{path}: digest is {digest!r}, expected {expected}: it was changed after it was "
            f"written. {_AGAIN}."
        )
    metrics = set(plan.experiment.metrics) if summary["status"] == OK else set()
    if set(summary["metrics"]) != metrics:
        found = sorted(summary["metrics"])
        raise FileError(f"{path}: metrics are {found}, expected {sorted(metrics)}. {_AGAIN}.")
    return summary


def read_config(directory: Path) -> dict[str, Any] | None:
    """The config.json of a run, finished or not; None if there is none.

    Raises:
        FileError: if the file is damaged.
    """
    path = directory / "config.json"
    config = read_json(path)
    attempts = [] if config is None else config.get("attempts")
    known = isinstance(attempts, list) and all(
        isinstance(one, dict) and {"commit", "dirty"} <= set(one) for one in attempts
    )
    if config is not None and not (known and attempts):
        raise FileError(
            f"{path}: attempts are {attempts!r}, expected a list of the processes that worked on "
            f"this run. {_AGAIN}."
        )
    return config


def set_aside(directory: Path) -> Path:
    """Moves the files of `directory` into a sibling, keeping the directory and its lock."""
    number = 1
    while (aside := directory.with_name(f"{directory.name}.old-{number}")).exists():
        number += 1
    aside.mkdir()
    for path in directory.iterdir():
        if path.name != LOCK:
            shutil.move(path, aside / path.name)
    return aside


def is_held(directory: Path) -> bool:
    """Whether a process holds `directory`."""
    try:
        with held(directory):
            return False
    except BlockingIOError:
        return True


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Makes `directory` and keeps other processes from it.

    Raises:
        BlockingIOError: if another process holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory, wait=False):
        yield
