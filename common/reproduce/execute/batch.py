"""Runs the (variant, seed) pairs of an experiment, each once, each resumable."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from common.reproduce.execute import plots
from common.reproduce.execute.attempt import finished, run_name, run_one, told
from common.reproduce.execute.display import RunBar, make_bars, sayer, title
from common.reproduce.execute.outcome import Outcome
from common.reproduce.execute.plan import OK, Plan, is_held
from common.reproduce.execute.processes import ProcessError, run_process
from common.reproduce.execute.trial import Trial, load_trial


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
    with make_bars(console) as bars:
        # Nothing of one timing, such as caches or threads, is to reach into another.
        if plan.experiment.kind == "timing" and len(plan.seeds) > 1:
            _run_processes(plan, trial, bars, outcome)
        else:
            _run_here(plan, trial, bars, outcome)
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


def _run_here(plan: Plan, trial: Trial, bars: Progress, outcome: Outcome) -> None:
    waiting = [(variant, seed) for variant in plan.variants for seed in plan.seeds]
    overall = bars.add_task(title(plan), total=len(waiting), values="")
    say = sayer(bars.console)
    again = True
    while waiting and again:
        busy = []
        for variant, seed in waiting:
            bar = RunBar(bars, run_name(variant, seed))
            try:
                summary = run_one(plan, trial, variant, seed, bar.show, say)
            except BlockingIOError:
                busy.append((variant, seed))
                continue
            finally:
                bar.remove()
            outcome.add(plan, summary)
            bars.advance(overall)
        # What was held at first may be free, or finished, now that the others are done.
        again = len(busy) < len(waiting)
        waiting = busy
        plan = replace(plan, rerun=False)
    outcome.held = [run_name(variant, seed) for variant, seed in waiting]


def _run_processes(plan: Plan, trial: Trial, bars: Progress, outcome: Outcome) -> None:
    overall = bars.add_task(title(plan), total=len(plan.seeds), values="")
    say = sayer(bars.console)
    kept = replace(plan, rerun=False)
    for seed in plan.seeds:
        found = [finished(kept, trial, variant, seed) for variant in plan.variants]
        code = 0
        if plan.rerun or None in found:
            code = run_process(replace(plan, seeds=(seed,)))
        for variant in plan.variants:
            summary = finished(kept, trial, variant, seed)
            if summary is not None:
                say(f"{run_name(variant, seed)}: {told(summary)}")
                outcome.add(plan, summary)
            elif is_held(plan.run_dir(variant, seed)):
                outcome.held.append(run_name(variant, seed))
            else:
                raise ProcessError(code)
        bars.advance(overall)
