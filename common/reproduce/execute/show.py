"""What `--show` prints: the settings with which the trial of a plan would be called."""

import json

from rich.console import Console

from common.reproduce.execute.plan import Plan
from common.reproduce.execute.trial import arguments, load_trial, parameters


def show(plan: Plan, console: Console) -> None:
    """Prints what `plan` would run, and runs nothing.

    Every setting is printed as `--set` takes it, and marked where it is the trial's default or
    given with `--set`.

    Args:
        plan: what would run.
        console: where to print.

    Raises:
        ValueError: if the settings are not the trial's.
    """
    trial = load_trial(plan)
    preset = plan.experiment.presets[plan.preset]

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    say(f"{plan.paper.name} {plan.experiment.name}: {plan.experiment.trial}")
    say(f"preset {plan.preset}, scale: {preset.scale}. {preset.reduces}".rstrip())
    say(f"seeds {' '.join(map(str, plan.seeds))}")
    for variant in plan.variants:
        declared = plan.experiment.settings(plan.preset, variant)
        values = arguments(trial, declared)
        say(f"\n{variant}, fingerprint {plan.experiment.fingerprint(plan.preset, variant)}")
        for name in (one.name for one in parameters(trial)):
            given = "  (--set)" if name in plan.overrides else ""
            mark = given if name in declared else "  (default)"
            say(f"  {name}={json.dumps(values[name], ensure_ascii=False)}{mark}")
