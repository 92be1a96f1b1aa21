"""The numbers a paper reports: its reported.csv."""

import math
from dataclasses import dataclass
from pathlib import Path

from common.reproduce.files import read_csv
from common.reproduce.spec import Paper

COLUMNS = ("id", "source", "metric", "variant", "value", "unit", "provenance", "note")


@dataclass(frozen=True)
class Reported:
    """A row of reported.csv.

    Attributes:
        id: unique within the file; a `Claim` names it.
        source: table, figure or page of the paper.
        metric: what the number measures.
        variant: of which model or setting.
        value: the number.
        unit: its unit; empty for a plain number.
        provenance: where it was read: the paper, its code, another paper.
        note: anything else.
    """

    id: str
    source: str
    metric: str
    variant: str
    value: float
    unit: str
    provenance: str
    note: str


def load_reported(path: Path) -> dict[str, Reported]:
    """Rows of a reported.csv by id.

    Raises:
        ValueError: if the columns differ, an id comes twice, a value is no finite number, or an
            id, source, metric or provenance is empty.
    """
    rows: dict[str, Reported] = {}
    for row in read_csv(path, COLUMNS):
        where = f"{path}, id {row['id']!r}"
        for column in ("id", "source", "metric", "provenance"):
            if not row[column].strip():
                raise ValueError(f"{where}: {column} is {row[column]!r}, expected some text.")
        if row["id"] in rows:
            raise ValueError(f"{where}: comes twice, expected once.")
        try:
            value = float(row["value"])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"{where}: value is {row['value']!r}, expected a finite number.")
        rows[row["id"]] = Reported(**{**row, "value": value})  # type: ignore[arg-type]
    return rows


def reported_claims(paper: Paper, directory: Path) -> dict[str, Reported]:
    """The reported row of every claim of `paper`, whose package is in `directory`.

    Raises:
        ValueError: if a claim has none.
    """
    rows = load_reported(directory / "reported.csv")
    missing = [claim.id for claim in paper.claims if claim.id not in rows]
    if missing:
        raise ValueError(f"Paper {paper.name!r}: claims {missing} have no row in reported.csv.")
    return {claim.id: rows[claim.id] for claim in paper.claims}
