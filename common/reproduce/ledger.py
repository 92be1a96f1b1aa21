"""The verdicts on every claim of a paper from its recorded results."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from common.reproduce.notes import load_notes
from common.reproduce.reported import reported_claims
from common.reproduce.results import load_results, recorded_values
from common.reproduce.spec import Experiment, Paper
from common.reproduce.verdict import Verdict, judge, measure


def ledger(paper: Paper, directory: Path) -> list[Verdict]:
    """The verdicts on the claims, in the paper's order, from `directory`/results.csv.

    A claim is judged at every preset whose recorded values cover it, at paper scale before reduced
    scale: what a large machine reproduces does not hide what a small one does not.
    """
    rows = load_results(directory / "results.csv")
    reported = reported_claims(paper, directory)
    notes = load_notes(paper, directory)
    verdicts = []
    for claim in paper.claims:
        experiment = paper.experiment(claim.experiment)
        values = {name: recorded_values(rows, experiment, name) for name in _presets(experiment)}
        covered = [name for name in values if measure(claim, values[name]) is not None]
        for preset in covered or ["cpu"]:
            verdict = judge(paper, claim, reported[claim.id], preset, values[preset])
            note = notes.get((claim.id, preset))
            verdicts.append(replace(verdict, note=note.text if note else ""))
    return verdicts


def stale(paper: Paper, directory: Path) -> int:
    """Number of recorded rows that the present settings of `paper` do not give."""
    rows = load_results(directory / "results.csv")
    current = {
        (experiment.name, preset, variant, experiment.fingerprint(preset, variant))
        for experiment in paper.experiments
        for preset in experiment.presets
        for variant in experiment.variants
    }
    return sum(
        (row.experiment, row.preset, row.variant, row.fingerprint) not in current for row in rows
    )


def _presets(experiment: Experiment) -> Iterable[str]:
    names = ("paper", "cpu")
    return sorted(names, key=lambda name: experiment.presets[name].scale != "paper")
