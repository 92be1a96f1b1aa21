"""When each claim was made: a paper's declared.csv, which is only ever added to.

A claim that is younger than the runs it is judged by is post hoc.
"""

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path

from common.reproduce.declare.spec import Claim, Paper
from common.reproduce.files import format_csv, locked, read_csv, write_text


@dataclass(frozen=True)
class Declaration:
    """A row of declared.csv.

    Attributes:
        claim: id of a claim.
        digest: of what it says, `claim_digest`.
        commit: that first held it; of the commit before where it was added by hand.
        date: of that commit, UTC, ISO 8601.
    """

    claim: str
    digest: str
    commit: str
    date: str


COLUMNS = tuple(field.name for field in fields(Declaration))


def claim_digest(claim: Claim) -> str:
    """Sixteen hex digits of what is measured and accepted."""
    sides = [[one.variant, one.metric] for one in claim.quantities]
    accept = [claim.accept.kind, *(float(bound) for bound in claim.accept.bounds)]
    text = json.dumps([claim.experiment, sides, accept])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_declared(directory: Path) -> list[Declaration]:
    """Rows of the declared.csv in `directory`, in order."""
    return [Declaration(**row) for row in read_csv(directory / "declared.csv", COLUMNS)]


def declared_dates(paper: Paper, directory: Path) -> dict[str, str]:
    """When each claim of `paper` was first declared as it is now.

    Those that never were are not in it.
    """
    dates: dict[str, str] = {}
    digests = {claim.id: claim_digest(claim) for claim in paper.claims}
    for row in load_declared(directory):
        if digests.get(row.claim) == row.digest:
            dates[row.claim] = min(row.date, dates.get(row.claim, row.date))
    return dates


def declare(paper: Paper, directory: Path, commit: str, date: str) -> list[str]:
    """Adds the claims of `paper` that are not in declared.csv as they are; returns their ids."""
    with locked(directory):
        rows = load_declared(directory)
        known = {(row.claim, row.digest) for row in rows}
        new = [
            Declaration(claim.id, claim_digest(claim), commit, date)
            for claim in paper.claims
            if (claim.id, claim_digest(claim)) not in known
        ]
        if new:
            lines = [vars(row) for row in (*rows, *new)]
            write_text(directory / "declared.csv", format_csv(COLUMNS, lines))
    return [row.claim for row in new]
