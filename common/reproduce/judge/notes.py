"""Why recorded runs are as they are: a paper's notes.csv."""

from dataclasses import dataclass, fields
from pathlib import Path

from common.reproduce.declare.spec import Paper
from common.reproduce.files import read_csv


@dataclass(frozen=True)
class Note:
    """A row of notes.csv.

    Attributes:
        claim: id of a claim.
        preset: name of the preset whose runs it is about.
        commit: of the newest of these runs.
        date: of the newest of these runs, ISO 8601; a note is stale where there are newer ones.
        text: the note.
    """

    claim: str
    preset: str
    commit: str
    date: str
    text: str


COLUMNS = tuple(field.name for field in fields(Note))


def load_notes(paper: Paper, directory: Path) -> dict[tuple[str, str], Note]:
    """The newest note by claim and preset; none if there is no notes.csv in `directory`.

    Raises:
        ValueError: if a note is on no claim of `paper` or no preset, or has no text.
    """
    path = directory / "notes.csv"
    claims = {claim.id: paper.experiment(claim.experiment) for claim in paper.claims}
    notes: dict[tuple[str, str], Note] = {}
    for row in read_csv(path, COLUMNS):
        where = f"{path}, claim {row['claim']!r}"
        if row["claim"] not in claims:
            raise ValueError(f"{where}: expected a claim of the paper.")
        if row["preset"] not in claims[row["claim"]].presets:
            raise ValueError(f"{where}: preset is {row['preset']!r}, expected cpu or paper.")
        if not row["text"].strip():
            raise ValueError(f"{where}: text is {row['text']!r}, expected some.")
        key = row["claim"], row["preset"]
        if key not in notes or notes[key].date <= row["date"]:
            notes[key] = Note(**row)
    return notes
