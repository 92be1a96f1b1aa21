"""`python -m papers.<name>`: run an experiment and print its verdicts."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro
from rich.console import Console

from common.reproduce import provenance
from common.reproduce.arguments import parse
from common.reproduce.command import FAIL, HOLD, STOPPED, run_command
from common.reproduce.declare.overrides import override, read_overrides
from common.reproduce.declare.spec import Experiment, Paper
from common.reproduce.execute.forecast import forecast
from common.reproduce.execute.plan import Plan, package_directory
from common.reproduce.execute.show import show
from common.reproduce.files import write_text
from common.reproduce.judge.ledger import judge_runs
from common.reproduce.judge.reported import load_reported
from common.reproduce.judge.tables import verdicts_csv
from common.reproduce.judge.terminal import make_console, print_table, say
from common.reproduce.judge.verdict import NOT_REPRODUCED
from common.reproduce.judge.words import count

if TYPE_CHECKING:
    from common.reproduce.execute.outcome import Outcome
    from common.reproduce.execute.plots import Target

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
    plan: bool = False
    """Print how many runs there are, how many of them are finished, and the hours that the others
    take, and exit."""
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """KEY=VALUE, a setting for this run, with VALUE in JSON or else a string; never recorded."""
    record: bool = False
    """Add finished runs to the paper's results.csv, which the ledger reads."""
    rerun: bool = False
    """Start again what is there, finished or not; the old files are moved aside."""
    cluster: str | None = None
    """Run on a Ray cluster: local starts one on this machine, auto joins the one that runs here,
    HOST:PORT another. Needs the extra cluster."""
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
    if options.plan:
        forecast(plan, console)
        return HOLD
    return _run(plan, options.cluster, console)


def _run(plan: Plan, cluster: str | None, console: Console) -> int:
    from common.reproduce.execute import batch  # imports Matplotlib, and with the trial Keras

    if cluster is None:
        outcome = batch.run(plan, console)
    else:
        from common.reproduce.cluster import driver

        outcome = driver.run(plan, cluster, console)
    smoke, code = plan.preset == "smoke", FAIL if outcome.diverged else HOLD
    if reduces := plan.experiment.presets[plan.preset].reduces:
        say(console, f"scale: reduced. {reduces}")
    table = None
    if plan.overrides:
        given = " ".join(plan.overrides)
        say(console, f"no verdicts: with --set {given} the settings are not the declared ones")
    elif smoke:
        say(console, "no verdicts: the code runs, which is all that smoke shows")
    else:
        table, holds = _judge(plan, outcome, console)
        code = code if holds else FAIL
    for name in outcome.diverged:
        say(console, f"{name}: diverged, no metric of it is used")
    for name, reason in outcome.failed.items():
        say(console, f"{name}: failed, {reason}")
    for name in outcome.held:
        say(console, f"{name}: another process is at it, and has not finished")
    found = batch.models(plan)
    more = f" and {len(found) - 1:,} more" if len(found) > 1 else ""
    figure = None if smoke else batch.draw_results(plan, outcome, _targets(plan))
    curves = batch.draw(plan)
    _where(console, "runs", plan.root)
    _where(console, "model", f"{found[0]}{more}" if found else "none, nothing was trained")
    _where(console, "curves", curves or "none, nothing was trained")
    _where(console, "figure", figure)
    _where(console, "table", table)
    return STOPPED if outcome.held or outcome.failed else code


def _judge(plan: Plan, outcome: "Outcome", console: Console) -> tuple[Path | None, bool]:
    """Prints and writes the verdicts on what was run: where, and whether none fails."""
    every = judge_runs(plan.paper, plan.directory, plan.experiment, plan.preset, outcome.runs)
    run = {one.variant for one in outcome.runs}
    verdicts = [one for one in every if {q.variant for q in one.claim.quantities} <= run]
    if verdicts:
        console.print()
        print_table(console, verdicts)
        console.print()
    if left := len(every) - len(verdicts):
        say(console, f"{count(left, 'claim')} on other variants than these, which were not run")
    if not verdicts:
        return None, True
    table = plan.root / "verdicts.csv"
    write_text(table, verdicts_csv(verdicts))
    return table, all(one.word != NOT_REPRODUCED for one in verdicts)


def _targets(plan: Plan) -> "list[Target]":
    """The reported numbers of what the plan measures; an order or a ratio has no place in it."""
    from common.reproduce.execute.plots import Target

    rows = load_reported(plan.directory / "reported.csv")
    return [
        Target(claim.quantity.variant, claim.quantity.metric, row.value, row.deviation)
        for claim in plan.paper.claims
        if claim.experiment == plan.experiment.name
        and claim.kind != "ordering"
        and claim.relative_to is None
        and (row := rows[claim.id]).value is not None
    ]


def _where(console: Console, what: str, path: object) -> None:
    """A line on what a run left, which one can search and open."""
    if path is not None:
        console.print(f"{what + ':':<8} {path}", markup=False, soft_wrap=True)


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
    say(console, f"{paper.title}. {paper.authors}. {paper.venue} {paper.year}. {paper.url}")
    for experiment in paper.experiments:
        default = " (default)" if experiment.name == paper.default_experiment else ""
        console.print()
        say(console, f"{experiment.name}{default}: {experiment.description}", style="bold")
        for name, preset in experiment.presets.items():
            variants = experiment.preset_variants(name)
            seeds = experiment.preset_seeds(name)
            total = preset.minutes * len(variants) * len(seeds)
            parts = (
                f"{total:g} minutes, {preset.minutes:g} a run",
                f"variants {' '.join(variants)}",
                f"seeds {' '.join(map(str, seeds))}",
                preset.reduces or "the paper's scale",
            )
            say(console, f"{name}: {'; '.join(parts)}", indent=2)
