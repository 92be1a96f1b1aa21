"""What `--plan` prints: how many runs a plan has, and the hours that they take."""

from rich.console import Console

from common.reproduce.execute.plan import Plan
from common.reproduce.execute.trial import load_trial

_MINUTES = 60  # of an hour


def forecast(plan: Plan, console: Console) -> None:
    """Prints what `plan` would run and for how long, and runs nothing.

    Hours are those that the preset expects of a run, of which the finished ones take none.

    Args:
        plan: what would run.
        console: where to print.

    Raises:
        ValueError: if the settings are not the trial's.
        FileError: if a file of an earlier run is damaged.
    """
    from common.reproduce.execute.attempt import finished  # imports Matplotlib

    trial = load_trial(plan)
    preset = plan.experiment.presets[plan.preset]
    each = preset.minutes / _MINUTES
    width = max(len("variant"), len("all"), *map(len, plan.variants))

    def say(*cells: object) -> None:
        name, *others = cells
        line = f"{name:<{width}}" + "".join(f"{other:>12}" for other in others)
        console.print(line, markup=False, soft_wrap=True)

    console.print(f"{plan.paper.name} {plan.experiment.name}, preset {plan.preset}", markup=False)
    say("variant", "runs", "finished", "hours each", "hours left")
    runs, done = len(plan.seeds), 0
    for variant in plan.variants:
        found = [finished(plan, trial, variant, seed) for seed in plan.seeds if not plan.rerun]
        ready = sum(summary is not None for summary in found)
        done += ready
        say(variant, runs, ready, _hours(each), _hours(each * (runs - ready)))
    total = runs * len(plan.variants)
    say("all", total, done, "", _hours(each * (total - done)))
    gpus = "a GPU where there are any" if preset.gpus is None else f"{preset.gpus} GPUs"
    cpus = f"{preset.cpus} CPU" + "s" * (preset.cpus != 1)
    line = f"On a cluster a run takes {cpus}, {gpus}, {preset.memory_gib:g} GiB."
    console.print(line, markup=False, soft_wrap=True)


def _hours(hours: float) -> str:
    """Three digits of what is short, and all of what is long."""
    return f"{hours:.3g}" if hours < 100 else f"{hours:,.0f}"
