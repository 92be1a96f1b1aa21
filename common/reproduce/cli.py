"""`python -m papers.<name>`: run an experiment and print its verdicts."""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from common.reproduce.ledger import judge_runs
from common.reproduce.report import make_console, print_table
from common.reproduce.spec import Experiment, Paper
from common.reproduce.verdict import NOT_REPRODUCED

HOLD, FAIL, BAD_ARGUMENTS = 0, 1, 2


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
    record: bool = False
    """Add finished runs to the paper's results.csv, which the ledger reads."""
    rerun: bool = False
    """Run finished seeds again; their old files are moved aside."""
    runs_dir: Path = Path("runs")
    """Where runs are written, and found again."""
    data_dir: Path | None = None
    """Where datasets are; by default that of TensorFlow Datasets."""


def main(paper: Paper) -> int:
    """Runs the command line of `paper`.

    Returns:
        0 if every claim that was run holds, 1 if some do not, 2 for bad arguments.
    """
    options = tyro.cli(
        Options,
        prog=f"python -m papers.{paper.name}",
        description=f"{paper.title} ({paper.authors}, {paper.year}).",
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    console = make_console()
    if options.list:
        _list(paper, console)
        return HOLD
    try:
        experiment = paper.experiment(options.experiment or paper.default_experiment)
        variants = _choose_variants(experiment, options)
        seeds = _choose_seeds(experiment, options)
        if options.record and options.preset == "smoke":
            raise ValueError("--record is given with --preset smoke, expected cpu or paper.")
    except ValueError as error:
        print(error, file=sys.stderr)
        return BAD_ARGUMENTS
    return _run(paper, experiment, variants, seeds, options, console)


def _run(
    paper: Paper,
    experiment: Experiment,
    variants: tuple[str, ...],
    seeds: tuple[int, ...],
    options: Options,
    console: Console,
) -> int:
    from common.reproduce import runner  # imports Keras

    plan = runner.Plan(
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
    )
    try:
        runs = runner.run(plan, console)
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on from here.", file=sys.stderr)
        return 130
    verdicts = judge_runs(paper, plan.directory, experiment, options.preset, runs)
    curves = runner.draw(plan)
    console.print(f"learning curves: {escape(str(curves or 'none, nothing was trained'))}")
    if reduces := experiment.presets[options.preset].reduces:
        console.print(f"scale: reduced. {escape(reduces)}")
    print_table(console, verdicts)
    return FAIL if any(one.word == NOT_REPRODUCED for one in verdicts) else HOLD


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
    if any(seed < 0 for seed in options.seeds):
        raise ValueError(f"--seeds is {options.seeds}, expected integers >= 0.")
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
