"""Runs the (variant, seed) pairs of an experiment, each once, each resumable."""

import importlib
import inspect
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from common.reproduce import provenance
from common.reproduce.declare.spec import Settings
from common.reproduce.execute import plots, results
from common.reproduce.execute.code import code_hash
from common.reproduce.execute.plan import (
    DIVERGED,
    OK,
    Plan,
    held,
    read_config,
    read_summary,
    set_aside,
    write_summary,
)
from common.reproduce.execute.processes import ProcessError, run_process
from common.reproduce.execute.results import Result
from common.reproduce.files import FileError, remove_leftovers, write_json

SHOWN_VALUES = 3

Trial = Callable[..., dict[str, float]]
Show = Callable[[str, int, int, dict[str, float]], None]


class TrialError(RuntimeError):
    """A trial failed: the message names the run, and the cause is what it raised."""


@dataclass
class Outcome:
    """What became of a plan.

    Attributes:
        runs: those that are finished.
        held: names of the runs that another process is at.
        diverged: names of the runs that diverged.
    """

    runs: list[Result] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)


def load_trial(plan: Plan) -> Trial:
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


def arguments(trial: Trial, settings: Settings) -> dict[str, Any]:
    """All arguments of a trial: its defaults, overridden by `settings`."""
    parameters = list(inspect.signature(trial).parameters.values())[1:]
    empty = inspect.Parameter.empty
    defaults = {one.name: one.default for one in parameters if one.default is not empty}
    return _as_json({**defaults, **settings})


def run(plan: Plan, console: Console) -> Outcome:
    """Runs what is not finished, and what another process is not at.

    Raises:
        ValueError: if the settings are not the trial's.
        FileError: if a file of an earlier run is damaged.
        TrialError: if a trial fails.
        ProcessError: if the process of a seed does; it has said why.
        Interrupted: on a signal; what is under way is saved first.
    """
    trial = load_trial(plan)
    outcome = Outcome()
    with _bar(console) as bar:
        # Nothing of one timing, such as caches or threads, is to reach into another.
        if plan.experiment.kind == "timing" and len(plan.seeds) > 1:
            _run_processes(plan, trial, bar, outcome)
        else:
            _run_here(plan, trial, bar, outcome)
    return outcome


def _run_here(plan: Plan, trial: Trial, bar: Progress, outcome: Outcome) -> None:
    waiting = [(variant, seed) for variant in plan.variants for seed in plan.seeds]
    overall = bar.add_task(_title(plan), total=len(waiting), values="")
    again = True
    while waiting and again:
        busy = []
        for variant, seed in waiting:
            try:
                summary = _run_one(plan, trial, variant, seed, bar)
            except BlockingIOError:
                busy.append((variant, seed))
                continue
            _add(outcome, plan, summary)
            bar.advance(overall)
        # What was held at first may be free, or finished, now that the others are done.
        again = len(busy) < len(waiting)
        waiting = busy
        plan = replace(plan, rerun=False)
    outcome.held = [_name(variant, seed) for variant, seed in waiting]


def _run_processes(plan: Plan, trial: Trial, bar: Progress, outcome: Outcome) -> None:
    overall = bar.add_task(_title(plan), total=len(plan.seeds), values="")
    kept = replace(plan, rerun=False)
    for seed in plan.seeds:
        found = [_finished(kept, trial, variant, seed) for variant in plan.variants]
        code = 0
        if plan.rerun or None in found:
            code = run_process(plan.of_seed(seed))
        for variant in plan.variants:
            summary = _finished(kept, trial, variant, seed)
            if summary is not None:
                bar.console.print(f"{_name(variant, seed)}: {_told(summary)}", markup=False)
                _add(outcome, plan, summary)
            elif _is_held(plan.run_dir(variant, seed)):
                outcome.held.append(_name(variant, seed))
            else:
                raise ProcessError(code)
        bar.advance(overall)


def _finished(plan: Plan, trial: Trial, variant: str, seed: int) -> dict[str, Any] | None:
    """The summary of a run, None if it is not finished or has other settings now."""
    config = _config(plan, trial, variant, seed)
    if _changed(read_config(plan.run_dir(variant, seed)) or {}, config):
        return None
    return read_summary(plan, variant, seed)


def _is_held(directory: Path) -> bool:
    try:
        with held(directory):
            return False
    except BlockingIOError:
        return True


def _add(outcome: Outcome, plan: Plan, summary: dict[str, Any]) -> None:
    variant, seed = summary["variant"], summary["seed"]
    if summary["status"] == DIVERGED:
        outcome.diverged.append(f"{_name(variant, seed)} at step {summary['diverged_at']:,}")
    outcome.runs.append(results.read_row(_row(summary)))
    if plan.record:
        results.record(plan.directory / "results.csv", _row(summary))


def draw(plan: Plan) -> Path | None:
    """Saves the learning curves of the plan's runs; None if nothing was trained."""
    runs = {
        variant: [plan.run_dir(variant, seed) for seed in plan.seeds] for variant in plan.variants
    }
    path = plan.root / "learning_curves.png"
    return path if plots.learning_curves(runs, plan.experiment.metrics, path) else None


def _run_one(plan: Plan, trial: Trial, variant: str, seed: int, bar: Progress) -> dict[str, Any]:
    """The summary of one run, from its file if it is finished.

    Raises:
        BlockingIOError: if another process is at it.
    """
    directory = plan.run_dir(variant, seed)
    name = _name(variant, seed)
    with held(directory):
        remove_leftovers(directory)
        config = _config(plan, trial, variant, seed)
        before = _attempts_before(directory, config, plan.rerun, bar.console)
        summary = read_summary(plan, variant, seed)
        if summary is not None:
            bar.console.print(f"{name}: finished before, {_told(summary)}", markup=False)
            return summary
        attempts = [*before, _attempt(plan, variant)]
        write_json(directory / "config.json", {**config, "attempts": attempts})
        task = bar.add_task(name, total=None, values="")

        def show(phase: str, step: int, steps: int, values: dict[str, float]) -> None:
            text = name if phase == "train" else f"{name} {phase}"
            shown = dict(list(values.items())[:SHOWN_VALUES])
            bar.update(task, description=text, completed=step, total=steps, values=_format(shown))

        summary = _try(plan, trial, config, attempts, directory, show)
        curve = directory / "learning_curve.png"
        plots.learning_curves({variant: [directory]}, plan.experiment.metrics, curve)
        write_summary(directory, summary)
        bar.remove_task(task)
        seconds = summary["seconds"]["total"]
        bar.console.print(f"{name}: {_told(summary)} ({seconds:.1f} s)", markup=False)
        return summary


def _try(
    plan: Plan,
    trial: Trial,
    config: dict[str, Any],
    attempts: list[dict[str, Any]],
    directory: Path,
    show: Show,
) -> dict[str, Any]:
    """Calls the trial and returns its summary."""
    from common.reproduce.execute.run import Run
    from common.reproduce.execute.training import Diverged

    _start_afresh(config["seed"])
    one = Run(
        variant=config["variant"],
        preset=plan.preset,
        seed=config["seed"],
        dir=directory,
        data_dir=plan.data_dir,
        show=show,
    )
    start = time.perf_counter()
    found: dict[str, Any]
    try:
        metrics = {name: float(value) for name, value in trial(one, **config["settings"]).items()}
        found = {"status": OK, "metrics": metrics}
    except Diverged as error:
        found = {"status": DIVERGED, "metrics": {}, "diverged_at": error.step, "why": error.what}
    except FileError:
        raise
    except Exception as error:
        name = _name(config["variant"], config["seed"])
        raise TrialError(f"{name}: {type(error).__name__}: {error}") from error
    seconds = time.perf_counter() - start
    if found["status"] == OK and set(found["metrics"]) != set(plan.experiment.metrics):
        raise TrialError(
            f"{plan.experiment.trial} returned {sorted(found['metrics'])}, expected exactly the "
            f"metrics {sorted(plan.experiment.metrics)}."
        )
    board = config["backend"] == "tensorflow"
    commits = {attempt["commit"] for attempt in attempts}
    dirty = any(attempt["dirty"] for attempt in attempts) or len(commits) > 1
    return {
        **config,
        **found,
        "probe": one.probe,
        "seconds": {**one.clocks, "total": seconds},
        "provenance": {
            **attempts[-1],
            "dirty": dirty,  # of all attempts: resumed with other code is no commit's result
            "end": provenance.now(),
            "load_average_end": provenance.load_averages(),
            "resumptions": len(attempts) - 1,
            "attempts": attempts,
        },
        "tensorboard": "tensorboard" if board else "none: it takes the TensorFlow backend",
    }


def take_probe(plan: Plan, variant: str, seed: int) -> list[float]:
    """The losses of the first updates of a run, which goes no further and leaves nothing behind.

    Returns:
        As many as a run records; none where the experiment trains nothing.
    """
    from common.reproduce.execute.run import Probed, Run

    if plan.experiment.kind != "training":
        return []
    trial = load_trial(plan)
    _start_afresh(seed)
    with TemporaryDirectory() as directory:
        one = Run(
            variant=variant,
            preset=plan.preset,
            seed=seed,
            dir=Path(directory),
            data_dir=plan.data_dir,
            probes=True,
        )
        try:
            trial(one, **plan.experiment.settings(plan.preset, variant))
        except Probed as probed:
            return probed.losses
    return []


def _start_afresh(seed: int) -> None:
    """A run must not depend on those before it in this process."""
    import keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)


def _config(plan: Plan, trial: Trial, variant: str, seed: int) -> dict[str, Any]:
    """What makes a run the same run."""
    return {
        "paper": plan.paper.name,
        "experiment": plan.experiment.name,
        "preset": plan.preset,
        "variant": variant,
        "seed": seed,
        "trial": plan.experiment.trial,
        "settings": arguments(trial, plan.experiment.settings(plan.preset, variant)),
        "fingerprint": plan.experiment.fingerprint(plan.preset, variant),
        "backend": provenance.backend(),
    }


def _changed(old: Mapping[str, Any], config: dict[str, Any]) -> list[str]:
    return [key for key in config if old.get(key) != config[key]]


def _attempts_before(
    directory: Path, config: dict[str, Any], rerun: bool, console: Console
) -> list[dict[str, Any]]:
    """The processes that worked on this run so far.

    A run of other settings or another backend, and any run if `rerun`, is moved aside, so that
    results never mix.
    """
    there = any(not path.name.startswith(".") for path in directory.iterdir())
    old, reason = None, "rerun"
    if not rerun:
        old = read_config(directory)
        changed = [] if old is None else _changed(old, config)
        if old is not None and not changed:
            return old["attempts"]
        reason = f"changed: {', '.join(changed)}" if changed else "it lacks config.json"
    if there:
        aside = set_aside(directory)
        console.print(f"{directory}: moved to {aside.name} ({reason})", markup=False)
    return []


def _attempt(plan: Plan, variant: str) -> dict[str, Any]:
    """This process, about to work on a run."""
    root = plan.directory.parents[1]
    commit, dirty = provenance.commit(Path(__file__).parent)
    return {
        "start": provenance.now(),
        "process": provenance.process(),
        "command": provenance.command(),
        "commit": commit,
        "dirty": dirty,
        "code": code_hash(plan.paper.name, plan.experiment, plan.preset, variant, root),
        "versions": provenance.versions(),
        "hardware": provenance.hardware(),
        "threads": provenance.threads(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "load_average": provenance.load_averages(),
    }


def _title(plan: Plan) -> str:
    return f"{plan.paper.name} {plan.experiment.name}"


def _name(variant: str, seed: int) -> str:
    return f"{variant} seed {seed}"


def _told(summary: dict[str, Any]) -> str:
    if summary["status"] == DIVERGED:
        return f"diverged, {summary['why']} at step {summary['diverged_at']:,}"
    return _format(summary["metrics"])


def _row(summary: dict[str, Any]) -> dict[str, Any]:
    """The row of results.csv for one finished run."""
    origin = summary["provenance"]
    versions = origin["versions"]
    whole = ("experiment", "preset", "variant", "seed", "status", "probe", "settings")
    diverged = summary["status"] == DIVERGED
    averages = [*origin["load_average"], *origin["load_average_end"]]
    return {
        **{name: summary[name] for name in (*whole, "fingerprint", "backend")},
        **{name: origin[name] for name in ("commit", "dirty", "command", "hardware")},
        **{name: origin[name] for name in ("process", "threads", "xla_flags", "code")},
        **{name: versions[name] for name in ("keras", "python", "numpy")},
        "metrics": {"diverged_at": summary["diverged_at"]} if diverged else summary["metrics"],
        "backend_version": versions[summary["backend"]],
        "seconds": f"{summary['seconds']['total']:.1f}",
        "load": " ".join(f"{one:.2f}" for one in averages),
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
