"""Speeds and memory that the papers report, beside what we recorded. Imports no backend."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rows import BOTH, Row
from common.reproduce.cli import package_directory
from common.reproduce.declare.spec import FORMS, Paper
from common.reproduce.files import read_csv
from common.reproduce.judge import words
from common.reproduce.judge.ledger import Book
from common.reproduce.judge.reported import load_reported
from common.reproduce.judge.verdict import NOT_RUN
from papers import get_paper

_SPEED = re.compile(r"\b(time|seconds|throughput|latency|memory)\b")
_NO_SPEED = re.compile(r"memory (capacity|content|locations)")


@dataclass(frozen=True)
class Baseline:
    """What stands on the other side of a reported ratio: a row of a paper's baselines.csv.

    Attributes:
        claim: beginning of the claim's id; the first row that fits counts.
        theirs: what the paper compared with, and whether that was slow.
        ours: what our recorded number compares with.
        hardware: of the paper.
        layer: layer of ours to set against `peer` in the present run, if there is one to.
        peer: name of the peer.
    """

    claim: str = ""
    theirs: str = "–"
    ours: str = "–"
    hardware: str = "not stated"
    layer: str = ""
    peer: str = ""


COLUMNS = ("claim", "theirs", "ours", "hardware", "layer", "peer")


@dataclass(frozen=True)
class SpeedClaim:
    """A line of the table of reported speeds.

    Attributes:
        paper: name of the paper.
        claim: id in reported.csv.
        reported: the paper's number.
        hardware: the paper's.
        baseline: what the paper compared with.
        recorded: our number in results.csv.
        our_baseline: what it compares with.
        this_run: the nearest ratio of the present run.
        verdict: on the recorded number; "not claimed" where no experiment measures it.
    """

    paper: str
    claim: str
    reported: str
    hardware: str
    baseline: str
    recorded: str
    our_baseline: str
    this_run: str
    verdict: str


def speed_claims(papers: Sequence[str], rows: Sequence[Row] = ()) -> list[SpeedClaim]:
    """Every claim of the papers on speed or memory, then every reported ratio without a claim.

    Args:
        papers: names of papers.
        rows: of the present run, for the column `this_run`.
    """
    return [line for name in papers for line in _paper_claims(get_paper(name), rows)]


def load_baselines(directory: Path) -> list[Baseline]:
    """The baselines of a paper; none if there is no baselines.csv in `directory`."""
    return [Baseline(**row) for row in read_csv(directory / "baselines.csv", COLUMNS)]


def _paper_claims(paper: Paper, rows: Sequence[Row]) -> list[SpeedClaim]:
    directory = package_directory(paper)
    baselines = load_baselines(directory)
    # Of the verdicts on a claim the first: that at paper scale, if there is one.
    verdicts = {
        verdict.claim.id: verdict for verdict in reversed(Book(paper, directory).verdicts())
    }
    lines = []
    for one in load_reported(directory / "reported.csv").values():
        verdict = verdicts.get(one.id)
        if not _is_speed(one.metric) or (verdict is None and ", ratio" not in one.metric):
            continue
        fitting = (baseline for baseline in baselines if one.id.startswith(baseline.claim))
        baseline = next(fitting, Baseline())
        number = one.statement if one.value is None else f"{one.value:.4g} {one.unit}".rstrip()
        lines.append(
            SpeedClaim(
                paper=paper.name,
                claim=one.id,
                reported=number,
                hardware=baseline.hardware,
                baseline=baseline.theirs,
                recorded="–" if verdict is None else words.measured(verdict),
                our_baseline=baseline.ours,
                this_run=_this_run(baseline, rows) if "growth" not in one.id else "–",
                verdict="not claimed" if verdict is None else verdict.word,
            )
        )
    return sorted(lines, key=lambda line: line.verdict in (NOT_RUN, "not claimed"))


def _is_speed(metric: str) -> bool:
    return _SPEED.search(metric) is not None and _NO_SPEED.search(metric) is None


def _this_run(baseline: Baseline, rows: Sequence[Row]) -> str:
    """The peer's least time over our layer's, forward and backward, at the greatest length."""
    times: dict[int, dict[bool, list[float]]] = {}
    for row in rows:
        if row.layer != baseline.layer or row.mode != BOTH or row.doubt or row.median_ms is None:
            continue
        if (ours := row.name in FORMS) or row.name == baseline.peer:
            times.setdefault(row.length, {}).setdefault(ours, []).append(row.median_ms)
    both = [length for length, sides in times.items() if len(sides) == 2]
    if not both:
        return "–"
    sides = times[max(both)]
    return f"{min(sides[False]) / min(sides[True]):.3g} (T={max(both)}, {baseline.peer})"
