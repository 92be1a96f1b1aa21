"""Whether the present code computes what it did when a run was recorded."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path

from common.reproduce.declare.spec import Paper
from common.reproduce.execute.code import ROOT, code_hash
from common.reproduce.execute.results import Result
from common.reproduce.judge.probes import Probe
from common.reproduce.judge.verdict import CHANGED, SAME, UNKNOWN

TOLERANCE = 1e-4
# By how much a timing of today may lie outside of what the processes of another code took.
TIMING_MARGIN = 0.1

# Experiment, preset and variant.
Of = tuple[str, str, str]


class Behaviour:
    """Tells whether the code behind a recorded run still computes the same.

    Args:
        paper: the paper.
        rows: of its results.csv.
        probes: of its probes.csv.
        root: directory that holds `common` and `papers`.
    """

    def __init__(
        self, paper: Paper, rows: Sequence[Result], probes: Sequence[Probe], root: Path = ROOT
    ):
        self.paper = paper
        self.root = root
        self.rows = rows
        self.probes = probes
        self._hashes: dict[Of, str] = {}

    def __call__(self, row: Result) -> str:
        """`SAME`, `CHANGED` or `UNKNOWN`.

        It is the same where the hash of the code is; of a training also where it starts with the
        same losses, and of a timing where every process of the present code measured what those of
        that code did. Nothing can be said of the rest but that its code has changed.
        """
        experiment = self.paper.experiment(row.experiment)
        present = self._present(row)
        if row.code == present:
            return SAME
        if experiment.kind == "timing":
            return SAME if self._timed_alike(row, present) else CHANGED
        if experiment.kind == "static":
            return UNKNOWN
        then, now = self._then(row), self._now(row)
        seeds = sorted(set(then) & set(now))
        if not seeds:
            return UNKNOWN
        return SAME if all(agree(then[seed], now[seed]) for seed in seeds) else CHANGED

    def lacking(self, rows: Sequence[Result]) -> list[int]:
        """The seeds whose probe by the present code would tell the behaviour of `rows`.

        Args:
            rows: of one variant; what is known of them, or no probe can tell, is left out.
        """
        seeds = set()
        for row in rows:
            trains = self.paper.experiment(row.experiment).kind == "training"
            if trains and not row.dirty and self(row) == UNKNOWN:
                seeds.add(min(self._then(row), default=min(one.seed for one in rows)))
        if not seeds:
            return []
        return sorted(seeds - set(self._now(rows[0])))

    def _present(self, row: Result) -> str:
        """Hash of the present code behind a run."""
        key = _of(row)
        if key not in self._hashes:  # each is asked for often
            experiment = self.paper.experiment(row.experiment)
            self._hashes[key] = code_hash(experiment, row.preset, row.variant, self.root)
        return self._hashes[key]

    def _timed_alike(self, row: Result, present: str) -> bool:
        """Whether the present code was timed too, and measured what the code of `row` did.

        Every process of the present code must lie, in every metric, between the least and the
        greatest of that code's processes on the same hardware, or by `TIMING_MARGIN` outside.
        """
        metrics: dict[str, list[dict[str, float]]] = {row.code: [], present: []}
        for one in self._rows[_of(row)]:
            alike = one.fingerprint == row.fingerprint and one.hardware == row.hardware
            if alike and one.code in metrics and not one.dirty:
                metrics[one.code].append(one.metrics)
        then, now = metrics[row.code], metrics[present]
        return bool(row.code and then and now) and all(within(then, one) for one in now)

    def _now(self, row: Result) -> dict[int, tuple[float, ...]]:
        """Seed to the probe of the present code."""
        present = self._present(row)
        return self._losses(row, lambda one: one.code == present)

    def _then(self, row: Result) -> dict[int, tuple[float, ...]]:
        """Seed to the probe of the code of `row`: its hash says so, or its commit."""
        present = self._present(row)

        def counts(one: Result | Probe) -> bool:
            return (one.code == row.code != "") or (
                one.commit == row.commit and one.code != present
            )

        return self._losses(row, counts)

    def _losses(
        self, row: Result, counts: Callable[[Result | Probe], bool]
    ) -> dict[int, tuple[float, ...]]:
        """Seed to the newest probe of the variant of `row` among those that count."""
        return {
            one.seed: losses
            for one, losses in self._all[_of(row)]
            if counts(one) and not (isinstance(one, Result) and one.fingerprint != row.fingerprint)
        }

    @cached_property
    def _rows(self) -> dict[Of, list[Result]]:
        """The rows by what they are runs of."""
        found: dict[Of, list[Result]] = defaultdict(list)
        for row in self.rows:
            found[_of(row)].append(row)
        return found

    @cached_property
    def _all(self) -> dict[Of, list[tuple[Result | Probe, tuple[float, ...]]]]:
        """Every probe, of runs and of probes.csv, by what it is of, in the order of their dates."""
        found: Iterable[tuple[Result | Probe, tuple[float, ...]]] = [
            *((row, row.probe) for row in self.rows if row.probe and not row.dirty),
            *((probe, probe.losses) for probe in self.probes if probe.losses),
        ]
        by_variant: dict[Of, list[tuple[Result | Probe, tuple[float, ...]]]] = defaultdict(list)
        for one in sorted(found, key=lambda one: one[0].date):
            by_variant[_of(one[0])].append(one)
        return by_variant


def _of(one: Result | Probe) -> Of:
    """What it is a run or a probe of."""
    return one.experiment, one.preset, one.variant


def within(then: Sequence[dict[str, float]], now: dict[str, float]) -> bool:
    """Whether every metric is between the least and greatest of `then`, to `TIMING_MARGIN`."""
    for name, value in now.items():
        values = [one.get(name, math.nan) for one in then]
        low, high = min(values), max(values)
        if not low - TIMING_MARGIN * abs(low) <= value <= high + TIMING_MARGIN * abs(high):
            return False
    return True


def agree(losses: Sequence[float], others: Sequence[float]) -> bool:
    """Whether two probes are the same to `TOLERANCE`, relative."""
    return len(losses) == len(others) and all(
        math.isclose(one, other, rel_tol=TOLERANCE)
        for one, other in zip(losses, others, strict=True)
    )
