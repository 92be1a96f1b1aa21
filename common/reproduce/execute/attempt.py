"""One run of a plan, from its settings to its summary."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common.allocator import keep_freed_memory
from common.reproduce import provenance
from common.reproduce.execute import plots
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
from common.reproduce.execute.run import Probed, Run, Show
from common.reproduce.execute.trial import Trial, arguments, load_trial
from common.reproduce.files import FileError, remove_leftovers, write_json

Say = Callable[[str], None]


class TrialError(RuntimeError):
    """A trial failed: the message names the run, and the cause is what it raised."""


def run_one(
    plan: Plan, trial: Trial, variant: str, seed: int, show: Show, say: Say
) -> dict[str, Any]:
    """The summary of one run, from its file if it is finished.

    Args:
        plan: what to run.
        trial: its trial function.
        variant: name of the variant.
        seed: of the run.
        show: told how far it is, now and then.
        say: told what a user reads of it, in lines.

    Raises:
        BlockingIOError: if another process is at it.
    """
    directory = plan.run_dir(variant, seed)
    name = run_name(variant, seed)
    with held(directory):
        remove_leftovers(directory)
        before = attempts_before(plan, trial, variant, seed, say)
        summary = read_summary(plan, variant, seed)
        if summary is not None:
            say(f"{name}: finished before, {told(summary)}")
            return summary
        config = _config(plan, trial, variant, seed)
        attempts = [*before, _attempt(plan, variant)]
        write_json(directory / "config.json", {**config, "attempts": attempts})
        summary = _try(plan, trial, config, attempts, directory, show)
        curve = directory / "learning_curve.png"
        plots.learning_curves({variant: [directory]}, plan.experiment.metrics, curve)
        write_summary(directory, summary)
        say(f"{name}: {told(summary)} ({summary['seconds']['total']:.1f} s)")
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
    from common.reproduce.execute.training import Diverged

    if plan.experiment.kind == "training":  # timings are of processes as users have them
        keep_freed_memory()
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
        name = run_name(config["variant"], config["seed"])
        raise TrialError(f"{name}: {type(error).__name__}: {error}") from error
    seconds = time.perf_counter() - start
    if found["status"] == OK and set(found["metrics"]) != set(plan.experiment.metrics):
        raise TrialError(
            f"{plan.experiment.trial} returned {sorted(found['metrics'])}, expected exactly the "
            f"metrics {sorted(plan.experiment.metrics)}."
        )
    board = config["backend"] == "tensorflow"
    dirty = any(attempt["dirty"] for attempt in attempts) or not _of_one_program(attempts)
    return {
        **config,
        **found,
        "probe": one.probe,
        "seconds": {**one.clocks, "total": seconds},
        "provenance": {
            **attempts[-1],
            "dirty": dirty,  # of all attempts: resumed with another program is no program's result
            "end": provenance.now(),
            "load_average_end": provenance.load_averages(),
            "resumptions": len(attempts) - 1,
            "attempts": attempts,
        },
        "tensorboard": "tensorboard" if board else "none: it takes the TensorFlow backend",
    }


def _of_one_program(attempts: list[dict[str, Any]]) -> bool:
    """Whether all attempts ran the same code of the same libraries; commits may differ beside."""
    programs = [(attempt.get("code"), attempt.get("versions")) for attempt in attempts]
    return all(program == programs[0] for program in programs)


def take_probe(plan: Plan, variant: str, seed: int) -> list[float]:
    """The losses of the first updates of a run, which goes no further and leaves nothing behind.

    Returns:
        As many as a run records; none where the experiment trains nothing.
    """
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


def finished(plan: Plan, trial: Trial, variant: str, seed: int) -> dict[str, Any] | None:
    """The summary of a run, None if it is not finished or has other settings now."""
    old = read_config(plan.run_dir(variant, seed)) or {}
    changed = _changed(old, _config(plan, trial, variant, seed))
    return None if changed else read_summary(plan, variant, seed)


def _changed(old: Mapping[str, Any], config: dict[str, Any]) -> list[str]:
    return [key for key in config if old.get(key) != config[key]]


def attempts_before(
    plan: Plan, trial: Trial, variant: str, seed: int, say: Say
) -> list[dict[str, Any]]:
    """The processes that worked on a run so far; its directory is held.

    A run of other settings or another backend, and any run with `--rerun`, is moved aside, so that
    results never mix.
    """
    directory = plan.run_dir(variant, seed)
    reason = "rerun"
    if not plan.rerun:
        old = read_config(directory)
        changed = _changed(old or {}, _config(plan, trial, variant, seed))
        if old is not None and not changed:
            return old["attempts"]
        reason = f"changed: {', '.join(changed)}" if old is not None else "it lacks config.json"
    if any(not path.name.startswith(".") for path in directory.iterdir()):
        aside = set_aside(directory)
        say(f"{directory}: moved to {aside.name} ({reason})")
    return []


def _attempt(plan: Plan, variant: str) -> dict[str, Any]:
    """This process, about to work on a run."""
    root = plan.directory.parents[1]
    commit, dirty = provenance.commit(Path(__file__).parent)
    return {
        "start": provenance.now(),
        "process": provenance.process(),
        "command": plan.command,
        "commit": commit,
        "dirty": dirty,
        "code": code_hash(plan.experiment, plan.preset, variant, root),
        "versions": provenance.versions(),
        "hardware": provenance.hardware(),
        "threads": provenance.threads(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "load_average": provenance.load_averages(),
    }


def run_name(variant: str, seed: int) -> str:
    """What the user reads of a run."""
    return f"{variant} seed {seed}"


def told(summary: dict[str, Any]) -> str:
    """What came of a run: its metrics, or where it diverged."""
    if summary["status"] == DIVERGED:
        return f"diverged, {summary['why']} at step {summary['diverged_at']:,}"
    return formatted(summary["metrics"])


def formatted(values: Mapping[str, float]) -> str:
    """Names and values, as the user reads them."""
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())
