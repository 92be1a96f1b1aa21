"""The verdicts on the claims of a paper, from what is recorded or from what was just run."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path

from common.reproduce.declare.spec import Claim, Experiment, Paper
from common.reproduce.execute.results import Result, load_results, of_fingerprint
from common.reproduce.judge.behaviour import Behaviour
from common.reproduce.judge.declared import declared_dates
from common.reproduce.judge.notes import load_notes
from common.reproduce.judge.probes import load_probes
from common.reproduce.judge.soundness import reported_claims
from common.reproduce.judge.verdict import (
    NOT_RUN,
    POSITIVE,
    STATIC,
    UNDECIDED,
    Evidence,
    Verdict,
    judge,
)

YES, PARTLY, NO, NOT_ATTEMPTED = "yes", "partly", "no", "not attempted"


class Book:
    """A paper's claims and what there is to judge them by.

    Args:
        paper: the paper.
        directory: of its package.
        runs: in place of the recorded ones of their experiments and presets, if any: runs that
            were just made.
    """

    def __init__(self, paper: Paper, directory: Path, runs: Sequence[Result] = ()):
        self.paper = paper
        self.directory = directory
        self.reported = reported_claims(paper, directory)
        self.notes = load_notes(paper, directory)
        self.declared = declared_dates(paper, directory)
        self.recorded = load_results(directory / "results.csv")
        made = {(row.experiment, row.preset) for row in runs}
        kept = [row for row in self.recorded if (row.experiment, row.preset) not in made]
        self.rows = [*kept, *runs]
        self.made = made
        self.behaviour = Behaviour(
            paper, [*self.recorded, *runs], load_probes(directory), directory.parents[1]
        )
        self.verdict = cache(self._verdict)

    def verdicts(self) -> list[Verdict]:
        """Those on every claim, in the paper's order.

        A claim is judged at every preset whose runs measure it, at paper scale before reduced
        scale: what a large machine reproduces does not hide what a small one does not.
        """
        return [verdict for claim in self.paper.claims for verdict in self._of(claim)]

    def main_verdict(self, claim: Claim) -> Verdict:
        """The first verdict on a claim that decides it; where there is none, the first."""
        found = self._of(claim)
        return next((one for one in found if one.word not in (UNDECIDED, NOT_RUN)), found[0])

    @cached_property
    def main_verdicts(self) -> list[Verdict]:
        """The main verdict on every claim, in the paper's order."""
        return [self.main_verdict(claim) for claim in self.paper.claims]

    @cached_property
    def headline(self) -> str:
        """Whether the paper's main claim holds.

        That counts and shapes are right, or that a claim fits runs that were there before it, is
        no evidence of it: such a claim leaves it undecided, unless it fails.
        """
        claims = [self.paper.claim(id) for id in self.paper.headline_claims]
        verdicts = [self.main_verdict(claim) for claim in claims]
        if not verdicts:
            return NOT_ATTEMPTED
        positive = [one for one in verdicts if one.word in POSITIVE]
        good = sum(one.grade != STATIC and not one.post_hoc for one in positive)
        if good:
            return YES if good == len(verdicts) else PARTLY
        words = [one.word for one in verdicts]
        return UNDECIDED if positive or UNDECIDED in words or NOT_RUN in words else NO

    def stale(self) -> int:
        """Number of recorded runs that the present settings do not give."""
        current = {
            (experiment.name, preset, variant, experiment.fingerprint(preset, variant))
            for experiment in self.paper.experiments
            for preset in experiment.presets
            for variant in experiment.variants
        }
        return sum(
            (row.experiment, row.preset, row.variant, row.fingerprint) not in current
            for row in self.rows
        )

    def probes_lacking(self) -> list[tuple[Experiment, str, str, int]]:
        """What has no probe by the present code yet: (experiment, preset, variant, seed).

        The probe would tell whether runs that a claim is judged by are of code that computes the
        same.
        """
        found: dict[tuple[str, str, str, int], tuple[Experiment, str, str, int]] = {}
        for claim in self.paper.claims:
            experiment = self.paper.experiment(claim.experiment)
            for preset in _presets(experiment):
                for variant in sorted({quantity.variant for quantity in claim.quantities}):
                    rows = of_fingerprint(self.rows, experiment, preset, variant)
                    newest = {row.seed: row for row in rows}
                    for seed in self.behaviour.lacking(list(newest.values())):
                        one = (experiment, preset, variant, seed)
                        found[experiment.name, preset, variant, seed] = one
        return list(found.values())

    def _of(self, claim: Claim) -> list[Verdict]:
        names = _presets(self.paper.experiment(claim.experiment))
        found = [self.verdict(claim.id, preset) for preset in names]
        run = [one for one in found if one.word != NOT_RUN]
        first, *others = run or [self.verdict(claim.id, "cpu")]
        # What was run of a preset that has no line of its own is told in the first.
        hidden = sum(one.earlier for one in found if one not in (first, *others))
        return [replace(first, earlier=first.earlier + hidden), *others]

    def _earlier(self, experiment: Experiment, preset: str, variant: str) -> int:
        """How many settings of a variant at a preset were recorded, besides the present ones."""
        key = (experiment.name, preset, variant)
        found = {
            row.fingerprint
            for row in self.recorded
            if (row.experiment, row.preset, row.variant) == key
        }
        return len(found - {experiment.fingerprint(preset, variant)})

    def _verdict(self, id: str, preset: str) -> Verdict:
        claim = self.paper.claim(id)
        experiment = self.paper.experiment(claim.experiment)
        variants = {quantity.variant for quantity in claim.quantities}
        evidence = Evidence(
            rows={one: of_fingerprint(self.rows, experiment, preset, one) for one in variants},
            behaviour=self.behaviour,
            # A run that is made now is younger than the claim.
            declared="" if (experiment.name, preset) in self.made else self.declared.get(id),
            control=lambda control: self.verdict(control, preset),
            note=self.notes.get((id, preset)),
            earlier=max(self._earlier(experiment, preset, one) for one in variants),
        )
        return judge(self.paper, claim, self.reported[id], preset, evidence)


def judge_runs(
    paper: Paper, directory: Path, experiment: Experiment, preset: str, runs: Sequence[Result]
) -> list[Verdict]:
    """The verdicts on the claims on `experiment` from runs that were just made.

    They are judged as recorded runs are, but that files may be in no commit; what their controls
    need of other experiments is taken from results.csv. At the preset smoke there are numbers and
    no verdicts.

    Args:
        paper: the paper.
        directory: of its package.
        experiment: what was run.
        preset: at which size.
        runs: of that experiment and preset, `results.read_row`.
    """
    # Whether the tree is clean is a question of what is recorded.
    book = Book(paper, directory, [replace(run, dirty=False) for run in runs])
    claims = [claim for claim in paper.claims if claim.experiment == experiment.name]
    return [book.verdict(claim.id, preset) for claim in claims]


def _presets(experiment: Experiment) -> Iterable[str]:
    names = ("paper", "cpu")
    return sorted(names, key=lambda name: experiment.presets[name].scale != "paper")
