"""Runs the (variant, seed) pairs of an experiment, each once, each resumable."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from common.reproduce.execute import plots, results
from common.reproduce.execute.attempt import finished, run_name, run_one, told
from common.reproduce.execute.plan import DIVERGED, OK, Plan, is_held
from common.reproduce.execute.processes import ProcessError, run_process
from common.reproduce.execute.trial import Trial, load_trial


@dataclass
class Outcome:
    """What became of a plan.

    Attributes:
        runs: those that are finished.
        held: names of the runs that another process is at.
        diverged: names of the runs that diverged.
    """

    runs: list[results.Result] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)


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


def draw(plan: Plan) -> Path | None:
    """Saves the curves of the plan's runs; None if nothing was trained, or timed at lengths."""
    runs = {
        variant: [plan.run_dir(variant, seed) for seed in plan.seeds] for variant in plan.variants
    }
    path = plan.root / "learning_curves.png"
    return path if plots.learning_curves(runs, plan.experiment.metrics, path) else None


def draw_results(plan: Plan, outcome: Outcome, targets: Sequence[plots.Target]) -> Path | None:
    """Saves the results beside what is reported; None where no number is reported of them."""
    path = plan.root / "results.png"
    finished = [run for run in outcome.runs if run.status == OK]
    return path if plots.results(finished, targets, path) else None


def models(plan: Plan) -> list[Path]:
    """The models that the plan's runs left, in the order of the plan."""
    runs = [plan.run_dir(variant, seed) for variant in plan.variants for seed in plan.seeds]
    return [path for run in runs for path in sorted(run.glob("*.keras"))]


def _run_here(plan: Plan, trial: Trial, bar: Progress, outcome: Outcome) -> None:
    waiting = [(variant, seed) for variant in plan.variants for seed in plan.seeds]
    overall = bar.add_task(_title(plan), total=len(waiting), values="")
    again = True
    while waiting and again:
        busy = []
        for variant, seed in waiting:
            try:
                summary = run_one(plan, trial, variant, seed, bar)
            except BlockingIOError:
                busy.append((variant, seed))
                continue
            _add(outcome, plan, summary)
            bar.advance(overall)
        # What was held at first may be free, or finished, now that the others are done.
        again = len(busy) < len(waiting)
        waiting = busy
        plan = replace(plan, rerun=False)
    outcome.held = [run_name(variant, seed) for variant, seed in waiting]


def _run_processes(plan: Plan, trial: Trial, bar: Progress, outcome: Outcome) -> None:
    overall = bar.add_task(_title(plan), total=len(plan.seeds), values="")
    kept = replace(plan, rerun=False)
    for seed in plan.seeds:
        found = [finished(kept, trial, variant, seed) for variant in plan.variants]
        code = 0
        if plan.rerun or None in found:
            code = run_process(replace(plan, seeds=(seed,)))
        for variant in plan.variants:
            summary = finished(kept, trial, variant, seed)
            if summary is not None:
                bar.console.print(f"{run_name(variant, seed)}: {told(summary)}", markup=False)
                _add(outcome, plan, summary)
            elif is_held(plan.run_dir(variant, seed)):
                outcome.held.append(run_name(variant, seed))
            else:
                raise ProcessError(code)
        bar.advance(overall)


def _add(outcome: Outcome, plan: Plan, summary: dict[str, Any]) -> None:
    variant, seed = summary["variant"], summary["seed"]
    if summary["status"] == DIVERGED:
        outcome.diverged.append(f"{run_name(variant, seed)} at step {summary['diverged_at']:,}")
    outcome.runs.append(results.read_row(_row(summary)))
    if plan.record:
        results.record(plan.directory / "results.csv", _row(summary))


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


def _title(plan: Plan) -> str:
    return f"{plan.paper.name} {plan.experiment.name}"


class _Shortened(ProgressColumn):
    """A text that is cut where the line is full, so that the others stay whole."""

    def __init__(self, field: str):
        self.field = field
        super().__init__(table_column=Column())

    def render(self, task: Task) -> Text:
        text = task.fields.get(self.field, task.description)
        return Text(text, no_wrap=True, overflow="ellipsis")


def _bar(console: Console) -> Progress:
    return Progress(
        _Shortened("description"),
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        _Shortened("values"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        speed_estimate_period=3600,  # a run takes longer than the default of 30 seconds
    )
