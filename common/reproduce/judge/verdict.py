"""Verdicts: what was measured against what was reported, and what keeps it from counting."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from common.reproduce.declare.spec import Claim, Experiment, Paper
from common.reproduce.execute.results import Result
from common.reproduce.judge.intervals import LEAST_OF_A_MEDIAN, Side
from common.reproduce.judge.measure import Measured, measure
from common.reproduce.judge.notes import Note
from common.reproduce.judge.reported import Reported

REPRODUCED = "reproduced"
REDUCED = "reproduced at reduced scale"
AGREES = "agrees"
NOT_REPRODUCED = "not reproduced"
UNDECIDED = "undecided"
NOT_RUN = "not run"
# What a claim must have for another to rest on it.
POSITIVE = (REPRODUCED, REDUCED, AGREES)
EXACT, AT_REDUCED, ORDERING, STATIC = "exact", "reduced", "ordering", "static"
GRADES = (EXACT, AT_REDUCED, ORDERING, STATIC)
SAME, CHANGED, UNKNOWN = "same", "changed", "unknown"


@dataclass(frozen=True)
class Verdict:
    """A row of the verdict table.

    Attributes:
        paper: name of the paper.
        claim: the claim.
        reported: what the paper says.
        grade: one of `GRADES`.
        expected_seeds: seeds that a full result takes.
        preset: name of the preset measured, empty if not run.
        measured: what we got, None if not run.
        word: one of the words above; empty at the preset smoke, which decides nothing.
        reason: why it is undecided or not reproduced, if there is more to say than the numbers.
        post_hoc: whether a run that counts is older than the claim.
        note: why the recorded runs are as they are, if there is something to say.
        stale: whether a run that counts is newer than the note.
        earlier: how many earlier settings of what is measured were run too, and do not count.
    """

    paper: str
    claim: Claim
    reported: Reported
    grade: str
    expected_seeds: int
    preset: str = ""
    measured: Measured | None = None
    word: str = NOT_RUN
    reason: str = ""
    post_hoc: bool = False
    note: Note | None = None
    stale: bool = False
    earlier: int = 0


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a claim is judged by at one preset.

    Attributes:
        rows: variant to its runs of the present settings, in the order in which they were made.
        behaviour: of a run's code beside the present code: `SAME`, `CHANGED` or `UNKNOWN`.
        declared: when the claim was first made, ISO 8601; None if it never was.
        control: id of a claim to its verdict at this preset.
        note: why the runs are as they are.
        earlier: how many earlier settings were run.
    """

    rows: Mapping[str, Sequence[Result]]
    behaviour: Callable[[Result], str]
    declared: str | None
    control: Callable[[str], Verdict]
    note: Note | None = None
    earlier: int = 0


def grade(paper: Paper, claim: Claim, preset: str) -> str:
    """How much a claim says at a preset: one of `GRADES`.

    A timing is never exact: another machine is another setting than the paper's.
    """
    if claim.kind == "number":
        experiment = paper.experiment(claim.experiment)
        exact = experiment.presets[preset].scale == "paper" and experiment.kind != "timing"
        return EXACT if exact else AT_REDUCED
    return ORDERING if claim.kind == "ordering" else STATIC


def judge(
    paper: Paper, claim: Claim, reported: Reported, preset: str, evidence: Evidence
) -> Verdict:
    """The verdict on `claim` from what was measured at `preset`.

    What keeps a result from counting comes first; at the preset smoke nothing is decided.
    """
    experiment = paper.experiment(claim.experiment)
    seeds = experiment.preset_seeds(preset)
    newest = _by_seed(claim, evidence.rows, seeds)
    used = [row for side in newest for row in side.values()]
    shown = _measured(claim, reported, newest, seeds)
    verdict = Verdict(
        paper=paper.name,
        claim=claim,
        reported=reported,
        grade=grade(paper, claim, preset),
        expected_seeds=len(seeds),
        preset=preset if used else "",
        measured=shown[0] if shown else None,
        post_hoc=any(evidence.declared is None or row.date < evidence.declared for row in used),
        note=evidence.note,
        stale=evidence.note is not None and any(row.date > evidence.note.date for row in used),
        earlier=evidence.earlier,
    )
    word, reason = NOT_RUN, ""
    if preset == "smoke":
        word = "" if used else NOT_RUN
    elif used:
        word, reason = _word(claim, reported, experiment, verdict, newest, seeds, evidence)
    return replace(verdict, word=word, reason=reason)


def _word(
    claim: Claim,
    reported: Reported,
    experiment: Experiment,
    verdict: Verdict,
    newest: Sequence[Mapping[int, Result]],
    seeds: Sequence[int],
    evidence: Evidence,
) -> tuple[str, str]:
    """The word and its reason, once anything was measured."""
    used = [row for side in newest for row in side.values()]
    if reason := _diverged(used):
        return NOT_REPRODUCED, reason
    for quantity, side in zip(claim.quantities, newest, strict=True):
        if len(side) < len(seeds):
            of = f" of {quantity.variant}" if claim.relative_to else ""
            return UNDECIDED, f"{len(side)} of {len(seeds)} seeds{of}"
    if any(row.dirty for row in used):
        return UNDECIDED, "runs of files that are in no commit, or that changed on the way"
    behaviours = {evidence.behaviour(row) for row in used}
    if CHANGED in behaviours or (UNKNOWN in behaviours and experiment.kind == "static"):
        trains = experiment.kind == "training"
        changed = "computes something else now" if trains else "has changed"
        return UNDECIDED, f"the code {changed}: run again"
    if UNKNOWN in behaviours:
        return UNDECIDED, "the code has changed and no probe tells whether it computes the same"
    for id in claim.controls:
        control = evidence.control(id)
        if control.word not in POSITIVE:
            return UNDECIDED, f"its control {id} is {control.word}"
    word, reason = _by_numbers(claim, reported, verdict, newest, seeds)
    if word == UNDECIDED:
        return word, reason
    oldest = _oldest(claim, evidence, seeds)
    if _by_numbers(claim, reported, verdict, oldest, seeds)[0] != word:
        return UNDECIDED, "attempts disagree: the oldest of each seed says otherwise"
    if word in (REPRODUCED, REDUCED) and verdict.post_hoc:
        return UNDECIDED, "post hoc: the claim is younger than its runs"
    return word, reason


def _by_numbers(
    claim: Claim,
    reported: Reported,
    verdict: Verdict,
    sides: Sequence[Mapping[int, Result]],
    seeds: Sequence[int],
) -> tuple[str, str]:
    """The word and its reason from the numbers of one attempt of each seed alone."""
    if reason := _diverged([row for side in sides for row in side.values()]):
        return NOT_REPRODUCED, reason
    found = _measured(claim, reported, sides, seeds)
    assert found is not None
    measured, side = found
    if side == "no":
        missing = math.isnan(measured.value)
        return NOT_REPRODUCED, "a seed has no value" if missing else ""
    if side == "yes":
        words = {EXACT: REPRODUCED, AT_REDUCED: REDUCED}
        return words.get(verdict.grade, AGREES), ""
    if measured.hold is not None:
        return UNDECIDED, f"{measured.hold} of {measured.seeds} seeds hold"
    if claim.aggregate == "median" and measured.seeds < LEAST_OF_A_MEDIAN:
        return UNDECIDED, f"{measured.seeds} seeds are too few for an interval of a median"
    if measured.interval is None:
        return UNDECIDED, "the 95 % interval reaches over the bound"
    low, high = measured.interval
    return UNDECIDED, f"the 95 % interval {low:.4g} to {high:.4g} reaches over the bound"


def _by_seed(
    claim: Claim, rows: Mapping[str, Sequence[Result]], seeds: Sequence[int]
) -> list[dict[int, Result]]:
    """Of every quantity, the last of the rows of each declared seed."""
    return [
        {row.seed: row for row in rows.get(quantity.variant, ()) if row.seed in seeds}
        for quantity in claim.quantities
    ]


def _oldest(claim: Claim, evidence: Evidence, seeds: Sequence[int]) -> list[dict[int, Result]]:
    """Of every quantity, the first of the rows of each seed that the present code would give."""
    rows = {
        quantity.variant: [
            row
            for row in reversed(evidence.rows.get(quantity.variant, ()))
            if not row.dirty and evidence.behaviour(row) == SAME
        ]
        for quantity in claim.quantities
    }
    return _by_seed(claim, rows, seeds)


def _measured(
    claim: Claim,
    reported: Reported,
    sides: Sequence[Mapping[int, Result]],
    seeds: Sequence[int],
) -> tuple[Measured, Side] | None:
    """`measure` on the seeds that every side has; None if there is none."""
    common = [seed for seed in seeds if all(seed in side for side in sides)]
    if not common:
        return None
    values = [
        [side[seed].metrics.get(quantity.metric, math.nan) for seed in common]
        for quantity, side in zip(claim.quantities, sides, strict=True)
    ]
    return measure(claim, reported, *values)


def _diverged(rows: Sequence[Result]) -> str:
    for row in rows:
        if row.status == "diverged":
            at = row.metrics.get("diverged_at")
            step = f" at step {at:,.0f}" if at is not None else ""
            return f"{row.variant} seed {row.seed} diverged{step}"
    return ""
