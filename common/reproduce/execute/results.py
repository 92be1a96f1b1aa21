"""What we measured: a paper's results.csv, one row a finished run, appended and never rewritten.

Every row ends in a digest of itself and of the digest before it, so that a row that was changed,
taken out or put in between is found (`verify`).
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from common.reproduce.declare.spec import Experiment
from common.reproduce.files import format_csv, locked, read_csv

KEY = ("experiment", "preset", "variant", "seed", "fingerprint")
JSON = ("metrics", "probe", "settings")
STATUS = ("ok", "diverged")


@dataclass(frozen=True)
class Result:
    """A row of results.csv. What a row of older days lacks is "" or empty, and named in `lacks`.

    Attributes:
        attempt: number of this run among those of the same experiment, preset, variant, seed and
            fingerprint, from 1.
        date: of its end, UTC, ISO 8601.
        experiment: name of the experiment.
        preset: name of the preset.
        variant: name of the variant.
        seed: of the run.
        status: "ok", or "diverged", and then `metrics` is {"diverged_at": step} or {}.
        metrics: name to value.
        probe: losses of the first updates of the first training; none where nothing trains.
        settings: all arguments of the trial, defaults among them.
        fingerprint: of the declared settings.
        code: `code_hash` of the run.
        commit: of git.
        dirty: whether Python files differed from it, or code or libraries changed on the way.
        command: the command line.
        process: start and id of the process.
        seconds: the run took.
        backend: of Keras.
        backend_version: its version.
        keras: version.
        python: version.
        numpy: version.
        hardware: accelerators, processor, cores.
        threads: of OpenMP and of the backend.
        xla_flags: XLA_FLAGS.
        load: load averages over 1, 5 and 15 minutes, at the start and at the end.
        lacks: names of the columns that were not recorded.
        digest: of this row and of the digest before.
    """

    attempt: int
    date: str
    experiment: str
    preset: str
    variant: str
    seed: int
    status: str
    metrics: dict[str, float]
    probe: tuple[float, ...]
    settings: dict[str, Any]
    fingerprint: str
    code: str
    commit: str
    dirty: bool
    command: str
    process: str
    seconds: float
    backend: str
    backend_version: str
    keras: str
    python: str
    numpy: str
    hardware: str
    threads: str
    xla_flags: str
    load: str
    lacks: tuple[str, ...]
    digest: str


COLUMNS = tuple(field.name for field in fields(Result))
# What the runner gives of a run.
GIVEN = COLUMNS[1:-2]


def load_results(path: Path) -> list[Result]:
    """Rows of a results.csv, in order; none if there is no such file.

    Raises:
        ValueError: if the columns differ or a row cannot be read.
    """
    return [_result(row, f"{path}, row {i}") for i, row in enumerate(read_csv(path, COLUMNS), 1)]


def record(path: Path, row: Mapping[str, Any]) -> None:
    """Appends a finished run to a results.csv. A run that is in it already changes nothing.

    Args:
        path: the file; its directory bears the paper's name.
        row: exactly the columns `GIVEN`; `metrics`, `probe` and `settings` as objects, the rest is
            written as `str` has it. The same run is one with the same key, date and process.

    Raises:
        ValueError: if the columns differ, the row is none that could be read, or the chain of the
            file is broken.
    """
    if set(row) != set(GIVEN):
        different = sorted(set(row) ^ set(GIVEN))
        raise ValueError(f"row has the columns {tuple(row)}, expected {GIVEN}: see {different}.")
    append(path, [{**row, "lacks": ()}])


def read_row(row: Mapping[str, Any]) -> Result:
    """A finished run as `record` takes it, as it would come back from the file."""
    text = {name: _text(name, row[name]) for name in GIVEN}
    return _result({**text, "attempt": "1", "lacks": "", "digest": ""}, "row")


def append(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Appends runs, each with `GIVEN` and what it `lacks`, as `record` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent):
        verify(path)
        before = read_csv(path, COLUMNS)
        new: list[dict[str, str]] = []
        for row in rows:
            text = {name: _text(name, row[name]) for name in (*GIVEN, "lacks")}
            same = [old for old in (*before, *new) if _key(old) == _key(text)]
            if any(all(old[name] == text[name] for name in ("date", "process")) for old in same):
                continue
            last = (before + new)[-1:]
            text["attempt"] = str(1 + max((int(old["attempt"]) for old in same), default=0))
            text["digest"] = _digest(last[0]["digest"] if last else path.parent.name, text)
            _result(text, f"{path}, new row")
            new.append(text)
        lines = format_csv(COLUMNS, new)
        header = lines.index("\n") + 1
        _append_text(path, lines if not before else lines[header:])


def merge(path: Path, other: Path) -> int:
    """Appends the runs of another results.csv of the same paper, of another machine or branch.

    Args:
        path: the file; its directory bears the paper's name.
        other: the other one.

    Returns:
        How many were new.

    Raises:
        ValueError: if the chain of either is broken.
    """
    verify(other, path.parent.name)
    before = len(read_csv(path, COLUMNS))
    rows: list[dict[str, Any]] = [dict(row) for row in read_csv(other, COLUMNS)]
    for row in rows:
        row |= {name: json.loads(row[name]) for name in JSON} | {"lacks": row["lacks"].split()}
    append(path, rows)
    return len(read_csv(path, COLUMNS)) - before


def verify(path: Path, paper: str = "") -> None:
    """Checks the chain of a results.csv; a file that is not there has nothing to check.

    Args:
        path: the file.
        paper: name of the paper; by default that of the file's directory.

    Raises:
        ValueError: with the file and the first row, counted from 1 below the header, that is not
            as it was written, or that is a second row of one attempt.
    """
    if not path.exists():
        return
    rows = read_csv(path, COLUMNS)
    digest = paper or path.parent.name
    seen: set[tuple[str, ...]] = set()
    for i, row in enumerate(rows, 1):
        digest = _digest(digest, row)
        if row["digest"] != digest:
            raise ValueError(f"{path}, row {i}: digest is {row['digest']!r}, expected {digest!r}.")
        attempt = (*_key(row), row["attempt"])
        if attempt in seen:
            raise ValueError(f"{path}, row {i}: attempt {attempt} comes twice, expected once.")
        seen.add(attempt)
        _result(row, f"{path}, row {i}")
    written = format_csv(COLUMNS, rows).splitlines(keepends=True)
    found = path.read_bytes().decode().splitlines(keepends=True)
    for i, (one, other) in enumerate(zip(found, written, strict=False)):
        if one != other:
            raise ValueError(f"{path}, row {i}: is {one!r}, expected it as it was: {other!r}.")
    if len(found) != len(written):
        raise ValueError(f"{path}: {len(found)} lines, expected {len(written)}.")


def verify_length(path: Path, least: int, digest: str) -> None:
    """Checks that a chain is as long as it was, and the same so far.

    Args:
        path: of a results.csv.
        least: how many rows it had.
        digest: of the last of these.

    Raises:
        ValueError: if rows were cut off, or others are in their place.
    """
    rows = read_csv(path, COLUMNS)
    if len(rows) < least:
        raise ValueError(f"{path}: {len(rows)} rows, expected the {least} of LEDGER.md.")
    if rows[least - 1]["digest"] != digest:
        raise ValueError(
            f"{path}, row {least}: digest is {rows[least - 1]['digest']!r}, expected that of "
            f"LEDGER.md, {digest!r}."
        )


def of_fingerprint(
    rows: Sequence[Result], experiment: Experiment, preset: str, variant: str
) -> list[Result]:
    """The rows of a variant at a preset that its present settings gave."""
    mark = experiment.fingerprint(preset, variant)
    key = (experiment.name, preset, variant, mark)
    return [
        row for row in rows if (row.experiment, row.preset, row.variant, row.fingerprint) == key
    ]


def _key(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in KEY)


def _text(name: str, value: Any) -> str:
    if name in JSON:
        return json.dumps(value, sort_keys=name != "metrics")
    if name == "lacks":
        return " ".join(value)
    return str(value)


def _digest(before: str, row: Mapping[str, str]) -> str:
    fields = [row[name] for name in COLUMNS if name != "digest"]
    return hashlib.sha256(json.dumps([before, *fields]).encode()).hexdigest()[:32]


def _append_text(path: Path, text: str) -> None:
    """Appends in one write, on the disk before it returns."""
    # Windows would write each line end as two characters.
    binary = getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | binary, 0o644)
    try:
        data = text.encode()
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _result(row: Mapping[str, str], where: str) -> Result:
    """The row, read.

    Raises:
        ValueError: with the column that cannot be.
    """
    read: dict[str, Any] = dict(row)
    for column, convert in _READ.items():
        try:
            read[column] = convert(row[column])
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{where}: {column} is {row[column]!r}: {error}.") from error
    for column, allowed in (("status", STATUS), ("dirty", ("True", "False"))):
        if row[column] not in allowed:
            raise ValueError(f"{where}: {column} is {row[column]!r}, expected one of {allowed}.")
    return Result(**read)


def _metrics(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in json.loads(text).items()}


def _probe(text: str) -> tuple[float, ...]:
    return tuple(float(loss) for loss in json.loads(text))


# How a column is read that is no text.
_READ: dict[str, Callable[[str], Any]] = {
    "attempt": int,
    "seed": int,
    "seconds": float,
    "metrics": _metrics,
    "probe": _probe,
    "settings": json.loads,
    "dirty": lambda text: text == "True",
    "lacks": lambda text: tuple(text.split()),
}
