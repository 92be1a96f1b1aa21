"""What a paper reports: its reported.csv."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from common.reproduce.files import read_csv

_BEST_OF = re.compile(r"best of (\d+)")


@dataclass(frozen=True)
class Reported:
    """A row of reported.csv.

    Attributes:
        id: unique within the file; a `Claim` names it.
        paper: the source, where that is another paper than the one of the directory; else empty.
        arxiv: id with version, e.g. 2312.00752v2; empty for what is not on arXiv.
        location: table with row and column, figure or section.
        url: where it can be read.
        metric: what the number measures.
        variant: of which model or setting.
        value: the number; None where the source gives none.
        deviation: as published, else None.
        n: how many runs it stands on, as published, else None.
        statistic: "one run", "mean", "median", "best of 3", "unknown".
        unit: of the number; empty for a plain one.
        statement: without a number, what the source states, in our words.
        note: anything else.
    """

    id: str
    paper: str
    arxiv: str
    location: str
    url: str
    metric: str
    variant: str
    value: float | None
    deviation: float | None
    n: int | None
    statistic: str
    unit: str
    statement: str
    note: str

    @property
    def best_of(self) -> int | None:
        """Of how many runs the number is the best; None if it is no such number."""
        match = _BEST_OF.fullmatch(self.statistic)
        return int(match[1]) if match else None


COLUMNS = tuple(field.name for field in fields(Reported))


def load_reported(path: Path) -> dict[str, Reported]:
    """Rows of a reported.csv by id.

    Raises:
        ValueError: if the columns differ, an id comes twice, a number is no finite one, a row has
            neither value nor statement, or an id, location, url, metric or statistic is empty.
    """
    rows: dict[str, Reported] = {}
    for row in read_csv(path, COLUMNS):
        where = f"{path}, id {row['id']!r}"
        for column in ("id", "location", "url", "metric", "statistic"):
            if not row[column].strip():
                raise ValueError(f"{where}: {column} is {row[column]!r}, expected some text.")
        if row["id"] in rows:
            raise ValueError(f"{where}: comes twice, expected once.")
        value, deviation = (_number(row, column, where) for column in ("value", "deviation"))
        n = _number(row, "n", where)
        if n is not None and (n != int(n) or n < 1):
            raise ValueError(f"{where}: n is {row['n']!r}, expected a positive integer.")
        if value is None and not row["statement"].strip():
            raise ValueError(f"{where}: value and statement are '', expected one of them.")
        numbers = {"value": value, "deviation": deviation, "n": None if n is None else int(n)}
        rows[row["id"]] = Reported(**{**row, **numbers})  # type: ignore[arg-type]
    return rows


def _number(row: Mapping[str, str], column: str, where: str) -> float | None:
    if not row[column].strip():
        return None
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where}: {column} is {row[column]!r}, expected a finite number.")
    return value
