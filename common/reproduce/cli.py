"""`python -m papers.<name>`: run an experiment and print its verdicts."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from common.reproduce import provenance
from common.reproduce.arguments import parse
from common.reproduce.command import FAIL, HOLD, STOPPED, run_command
from common.reproduce.declare.overrides import override, read_overrides
from common.reproduce.declare.spec import Experiment, Paper
from common.reproduce.execute.plan import Plan
from common.reproduce.execute.show import show
from common.reproduce.judge.ledger import judge_runs
from common.reproduce.judge.terminal import make_console, print_table
from common.reproduce.judge.verdict import NOT_REPRODUCED

MAX_SEED = 2**32 - 1  # of NumPy's generators


@dataclass(frozen=True)
class Options:
    """Options of `python -m papers.<name>`."""

    experiment: str | None = None
    """Experiment to run; by default the one that --list marks."""
    variant: tuple[str, ...] = ()
    """Variants to run; by default all of the preset."""
    preset: Literal["smoke", "cpu", "paper"] = "cpu"
    """smoke: seconds; cpu: minutes on 2 cores; paper: the paper's own scale."""
    seeds: tuple[int, ...] = ()
    """Seeds to run; by default the experiment's (smoke: its first)."""
    list: bool = False
    """Print experiments, variants, presets and expected minutes, and exit."""
    show: bool = False
    """Print the settings that would run, the trial's defaults marked, and exit."""
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """KEY=VALUE, a setting for this run, with VALUE in JSON or else a string; never recorded."""
    record: bool = False
    """Add finished runs to the paper's results.csv, which the ledger reads."""
    rerun: bool = False
    """Start again what is there, finished or not; the old files are moved aside."""
    runs_dir: Path = Path("runs")
    """Where runs are written, and found again."""
    data_dir: Path | None = None
    """Where evaluation sets and MNIST are; by default $TFDS_DATA_DIR or ~/tensorflow_datasets."""
    verbose: bool = False
    """Show what the libraries log, and where an error comes from."""


def main(paper: Paper) -> int:
    """Runs the command line of `paper`.

    Returns:
        0 if every claim that was run holds, 1 if some do not, 2 for bad arguments or files, 3 for
        anything else that stopped it, 128 and its number after a signal.
    """
    return run_command(lambda: _main(paper))


def _main(paper: Paper) -> int:
    options = parse(
        Options,
        prog=f"python -m papers.{paper.name}",
        description=f"{paper.title} ({paper.authors}, {paper.year}).",
    )
    console = make_console()
    if options.list:
        _list(paper, console)
        return HOLD
    chosen = paper.default_experiment if options.experiment is None else options.experiment
    overrides = read_overrides(options.set)
    experiment = override(paper.experiment(chosen), overrides)
    variants = _choose_variants(experiment, options)
    seeds = _choose_seeds(experiment, options)
    if options.record and options.preset == "smoke":
        raise ValueError("--record is given with --preset smoke, expected cpu or paper.")
    if options.record and overrides:
        raise ValueError("--record is given with --set, expected the declared settings.")
    provenance.backend()  # a wrong one is said before anything is imported
    plan = Plan(
        paper=paper,
        directory=package_directory(paper),
        experiment=experiment,
        preset=options.preset,
        variants=variants,
        seeds=seeds,
        runs_dir=options.runs_dir,
        data_dir=options.data_dir,
        record=options.record,
        rerun=options.rerun,
        verbose=options.verbose,
        overrides=overrides,
    )
    if options.show:
        show(plan, console)
        return HOLD
    return _run(plan, console)


def _run(plan: Plan, console: Console) -> int:
    from common.reproduce.execute import batch  # imports Matplotlib, and with the trial Keras

    outcome = batch.run(plan, console)
    curves = batch.draw(plan)
    console.print(f"learning curves: {escape(str(curves or 'none, nothing was trained'))}")
    if plan.overrides:
        given = escape(" ".join(plan.overrides))
        console.print(f"no verdicts: with --set {given} the settings are not the declared ones")
    elif reduces := plan.experiment.presets[plan.preset].reduces:
        console.print(f"scale: reduced. {escape(reduces)}")
    code = FAIL if outcome.diverged else HOLD
    # A few steps, or other settings than the declared ones, say nothing about a claim.
    if plan.preset != "smoke" and not plan.overrides:
        verdicts = judge_runs(
            plan.paper, plan.directory, plan.experiment, plan.preset, outcome.runs
        )
        print_table(console, verdicts)
        if any(one.word == NOT_REPRODUCED for one in verdicts):
            code = FAIL
    for name in outcome.diverged:
        console.print(f"{name}: diverged, no metric of it is used", markup=False)
    for name in outcome.held:
        console.print(f"{name}: another process is at it, and has not finished", markup=False)
    return STOPPED if outcome.held else code


def package_directory(paper: Paper) -> Path:
    """Directory of the package `papers.<name>`."""
    file = importlib.import_module(f"papers.{paper.name}").__file__
    assert file is not None, "papers are packages with an __init__.py"
    return Path(file).parent


def _choose_variants(experiment: Experiment, options: Options) -> tuple[str, ...]:
    unknown = [name for name in options.variant if name not in experiment.variants]
    if unknown:
        raise ValueError(
            f"--variant is {' '.join(unknown)}, expected some of {' '.join(experiment.variants)}."
        )
    return tuple(dict.fromkeys(options.variant)) or experiment.preset_variants(options.preset)


def _choose_seeds(experiment: Experiment, options: Options) -> tuple[int, ...]:
    if any(not 0 <= seed <= MAX_SEED for seed in options.seeds):
        given = " ".join(map(str, options.seeds))
        raise ValueError(f"--seeds is {given}, expected integers from 0 to {MAX_SEED}.")
    return tuple(dict.fromkeys(options.seeds)) or experiment.preset_seeds(options.preset)


def _list(paper: Paper, console: Console) -> None:
    console.print(
        escape(f"{paper.title}. {paper.authors}. {paper.venue} {paper.year}. {paper.url}")
    )
    for experiment in paper.experiments:
        default = " (default)" if experiment.name == paper.default_experiment else ""
        console.print(f"\n[bold]{escape(experiment.name)}[/bold]{default}: ", end="")
        console.print(escape(experiment.description))
        table = Table("preset", "variants", "seeds", "minutes", "scale", box=None, pad_edge=False)
        for name, preset in experiment.presets.items():
            variants = experiment.preset_variants(name)
            seeds = experiment.preset_seeds(name)
            total = preset.minutes * len(variants) * len(seeds)
            table.add_row(
                name,
                escape(" ".join(variants)),
                " ".join(map(str, seeds)),
                f"{preset.minutes:g} each, {total:g} in all",
                escape(preset.reduces) or preset.scale,
            )
        console.print(table)
