"""Runs the (variant, seed) pairs of an experiment, each once, each resumable."""

import importlib
import inspect
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from common.reproduce import plots, provenance, results
from common.reproduce.files import locked, read_json, write_json
from common.reproduce.results import Values
from common.reproduce.run import Run
from common.reproduce.spec import Experiment, Paper

SHOWN_VALUES = 3


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
        rerun: whether to run again what is finished.
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

    @property
    def root(self) -> Path:
        """Directory of the experiment's runs at this preset."""
        return self.runs_dir / self.paper.name / self.experiment.name / self.preset

    def run_dir(self, variant: str, seed: int) -> Path:
        """Directory of one run."""
        return self.root / variant / f"seed-{seed}"


def load_trial(plan: Plan) -> Callable[..., dict[str, float]]:
    """The trial function of the experiment.

    Raises:
        ValueError: if it does not take exactly the settings of every variant of the plan.
    """
    module, _, name = plan.experiment.trial.partition(":")
    trial = getattr(importlib.import_module(module), name)
    parameters = list(inspect.signature(trial).parameters.values())[1:]
    known = {parameter.name for parameter in parameters}
    required = {one.name for one in parameters if one.default is inspect.Parameter.empty}
    for variant in plan.variants:
        settings = set(plan.experiment.settings(plan.preset, variant))
        unknown, missing = sorted(settings - known), sorted(required - settings)
        if unknown or missing:
            raise ValueError(
                f"Experiment {plan.experiment.name!r}, preset {plan.preset!r}, variant "
                f"{variant!r}: settings {unknown} are unknown to {plan.experiment.trial} and "
                f"{missing} are missing, expected exactly its arguments {sorted(known)}."
            )
    return trial


def run(plan: Plan, console: Console) -> Values:
    """Runs what is not finished and returns the values of everything in the plan."""
    trial = load_trial(plan)
    values: Values = {}
    pairs = [(variant, seed) for variant in plan.variants for seed in plan.seeds]
    with _bar(console) as bar:
        overall = bar.add_task(
            f"{plan.paper.name} {plan.experiment.name}", total=len(pairs), values=""
        )
        for variant, seed in pairs:
            summary = _run_one(plan, trial, variant, seed, bar)
            if plan.record:
                results.record(plan.directory / "results.csv", _row(summary))
            for metric, value in summary["metrics"].items():
                values.setdefault((variant, metric), {})[seed] = value
            bar.advance(overall)
    return values


def draw(plan: Plan) -> Path | None:
    """Saves the learning curves of the plan's runs; None if nothing was trained."""
    runs = {
        variant: [plan.run_dir(variant, seed) for seed in plan.seeds] for variant in plan.variants
    }
    path = plan.root / "learning_curves.png"
    return path if plots.learning_curves(runs, plan.experiment.metrics, path) else None


def _run_one(
    plan: Plan, trial: Callable[..., dict[str, float]], variant: str, seed: int, bar: Progress
) -> dict[str, Any]:
    """The summary of one run, from its file if it is finished."""
    directory = plan.run_dir(variant, seed)
    directory.mkdir(parents=True, exist_ok=True)
    name = f"{variant} seed {seed}"
    with _only_process(directory):
        for leftover in directory.glob(".*"):  # of a file that a kill left half written
            leftover.unlink()
        config = {
            "paper": plan.paper.name,
            "experiment": plan.experiment.name,
            "preset": plan.preset,
            "variant": variant,
            "seed": seed,
            "trial": plan.experiment.trial,
            "settings": plan.experiment.settings(plan.preset, variant),
            "fingerprint": plan.experiment.fingerprint(plan.preset, variant),
            "backend": keras.backend.backend(),
        }
        attempts = _attempts(directory, config, plan.rerun, bar.console)
        summary = read_json(directory / "summary.json")
        if summary is not None:
            bar.console.print(f"{name}: finished before, {_format(summary['metrics'])}")
            return summary
        write_json(directory / "config.json", {**config, "attempts": attempts})
        task = bar.add_task(name, total=None, values="")

        def show(phase: str, step: int, steps: int, values: dict[str, float]) -> None:
            text = name if phase == "train" else f"{name} {phase}"
            shown = dict(list(values.items())[:SHOWN_VALUES])
            bar.update(task, description=text, completed=step, total=steps, values=_format(shown))

        summary = _try(plan, trial, config, attempts, directory, show)
        curve = directory / "learning_curve.png"
        plots.learning_curves({variant: [directory]}, plan.experiment.metrics, curve)
        write_json(directory / "summary.json", summary)
        bar.remove_task(task)
        seconds = summary["seconds"]["total"]
        bar.console.print(f"{name}: {_format(summary['metrics'])} ({seconds:.1f} s)")
        return summary


def _try(
    plan: Plan,
    trial: Callable[..., dict[str, float]],
    config: dict[str, Any],
    attempts: list[dict[str, Any]],
    directory: Path,
    show: Callable[[str, int, int, dict[str, float]], None],
) -> dict[str, Any]:
    """Calls the trial and returns its summary."""
    # A run must not depend on those before it in this process.
    keras.backend.clear_session()
    keras.utils.set_random_seed(config["seed"])
    one = Run(
        variant=config["variant"],
        preset=plan.preset,
        seed=config["seed"],
        dir=directory,
        data_dir=plan.data_dir,
        show=show,
    )
    start = time.perf_counter()
    metrics = {name: float(value) for name, value in trial(one, **config["settings"]).items()}
    seconds = time.perf_counter() - start
    if set(metrics) != set(plan.experiment.metrics):
        raise ValueError(
            f"{plan.experiment.trial} returned {sorted(metrics)}, expected exactly the metrics "
            f"{sorted(plan.experiment.metrics)}."
        )
    board = config["backend"] == "tensorflow"
    commits = {attempt["commit"] for attempt in attempts}
    dirty = any(attempt["dirty"] for attempt in attempts) or len(commits) > 1
    return {
        **config,
        "metrics": metrics,
        "seconds": {**one.clocks, "total": seconds},
        "provenance": {
            **attempts[-1],
            "dirty": dirty,  # of all attempts: resumed with other code is no commit's result
            "end": provenance.now(),
            "load_average_end": os.getloadavg(),
            "resumptions": len(attempts) - 1,
            "attempts": attempts,
        },
        "tensorboard": "tensorboard" if board else "none: it takes the TensorFlow backend",
    }


def _attempts(
    directory: Path, config: dict[str, Any], rerun: bool, console: Console
) -> list[dict[str, Any]]:
    """The processes that worked on this run, this one last.

    A run of other settings or another backend is moved aside, so that results never mix.
    """
    old = read_json(directory / "config.json")
    if old is not None:
        changed = [key for key in config if old.get(key) != _as_json(config[key])]
        finished = (directory / "summary.json").exists()
        if changed or (rerun and finished):
            console.print(f"{directory}: moved to {_set_aside(directory)} ({changed or 'rerun'})")
            old = None
    elif any(directory.iterdir()):
        _set_aside(directory)
    commit, dirty = provenance.commit(Path(__file__).parent)
    attempt = {
        "start": provenance.now(),
        "command": provenance.command(),
        "commit": commit,
        "dirty": dirty,
        "versions": provenance.versions(),
        "hardware": provenance.hardware(),
        "load_average": os.getloadavg(),
    }
    return [*(old["attempts"] if old is not None else []), attempt]


def _set_aside(directory: Path) -> Path:
    """Moves the files of `directory` into a sibling, keeping the directory and its lock."""
    number = 1
    while (aside := directory.with_name(f"{directory.name}.old-{number}")).exists():
        number += 1
    aside.mkdir()
    for path in directory.iterdir():
        shutil.move(path, aside / path.name)
    return aside


@contextmanager
def _only_process(directory: Path) -> Iterator[None]:
    try:
        with locked(directory, wait=False):
            yield
    except BlockingIOError as error:
        raise RuntimeError(f"{directory} is being run by another process.") from error


def _row(summary: dict[str, Any]) -> dict[str, Any]:
    """The row of results.csv for one finished run."""
    origin = summary["provenance"]
    versions = origin["versions"]
    kept = ("experiment", "preset", "variant", "seed", "metrics", "settings", "fingerprint")
    return {
        **{name: summary[name] for name in (*kept, "backend")},
        "status": "ok",
        "probe": [],
        "code": "",
        **{name: origin[name] for name in ("commit", "dirty", "command", "hardware")},
        "process": "",
        "seconds": f"{summary['seconds']['total']:.1f}",
        "backend_version": versions.get(summary["backend"], ""),
        **{name: versions.get(name, "") for name in ("keras", "python", "numpy")},
        "threads": "",
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "load": " ".join(f"{one:.2f}" for one in origin["load_average_end"]),
        "date": origin["end"],
    }


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[values]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )


def _format(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


def _as_json(value: Any) -> Any:
    """As it comes back from a file: tuples as lists."""
    if isinstance(value, dict):
        return {key: _as_json(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_as_json(one) for one in value]
    return value
