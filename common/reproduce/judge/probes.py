"""The losses of the first updates of runs: a paper's probes.csv, which is only ever added to.

A run keeps its own; here are those that the code of a later day gives.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path

from common.reproduce.files import format_csv, locked, read_csv, write_text


@dataclass(frozen=True)
class Probe:
    """The losses of the first updates of a run; a row of probes.csv.

    Attributes:
        experiment: name of the experiment.
        preset: name of the preset.
        variant: name of the variant.
        seed: of the run.
        commit: of the code.
        code: its `code_hash`.
        date: UTC, ISO 8601.
        losses: one an update.
        hardware: what computed them.
    """

    experiment: str
    preset: str
    variant: str
    seed: int
    commit: str
    code: str
    date: str
    losses: tuple[float, ...]
    hardware: str


COLUMNS = tuple(field.name for field in fields(Probe))


def load_probes(directory: Path) -> list[Probe]:
    """Rows of the probes.csv in `directory`, in order; none if there is no such file.

    Raises:
        ValueError: if a row cannot be read.
    """
    path = directory / "probes.csv"
    probes = []
    for i, row in enumerate(read_csv(path, COLUMNS), 1):
        try:
            losses = tuple(float(loss) for loss in json.loads(row["losses"]))
            probes.append(Probe(**{**row, "seed": int(row["seed"]), "losses": losses}))  # type: ignore[arg-type]
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}, row {i}: {error}.") from error
    return probes


def add_probe(directory: Path, probe: Probe) -> None:
    """Adds a row to the probes.csv in `directory`."""
    with locked(directory):
        rows = [*load_probes(directory), probe]
        lines = [{**vars(row), "losses": json.dumps(row.losses)} for row in rows]
        write_text(directory / "probes.csv", format_csv(COLUMNS, lines))
