"""Files that are whole or absent: written beside the target, then renamed over it."""

import contextlib
import csv
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

LOCK = ".lock"
_TEMPORARY = ".tmp"


class FileError(ValueError):
    """A file does not hold what it must: the message names file, row and what was expected."""


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content` to `path` atomically, making its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(_TEMPORARY, f".{path.name}.", path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def remove_leftovers(directory: Path) -> None:
    """Removes what killed processes left half written in `directory`, whose lock is held."""
    for path in directory.glob(f".*{_TEMPORARY}"):
        if path.is_file():
            path.unlink()


def write_text(path: Path, content: str) -> None:
    """Writes `content` to `path` atomically."""
    write_bytes(path, content.encode())


def read_text(path: Path) -> str:
    """The text of `path`.

    Raises:
        FileError: if it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: byte {error.start} is no UTF-8, expected text.") from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes `content` to `path` atomically, as indented JSON."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in `path`, or None if there is no such file.

    Raises:
        FileError: if it holds anything else.
    """
    try:
        content = json.loads(read_text(path))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise FileError(f"{path}, line {error.lineno}: {error.msg}, expected JSON.") from error
    except RecursionError as error:
        raise FileError(f"{path}: nested too deeply, expected a JSON object.") from error
    if not isinstance(content, dict):
        raise FileError(f"{path} holds a {type(content).__name__}, expected a JSON object.")
    return content


def content_digest(content: Mapping[str, Any]) -> str:
    """32 hex digits of a JSON object, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def format_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """CSV text of `rows`, one a line under a header; what a row lacks stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file whose header must be `columns`; none if there is no such file.

    Raises:
        FileError: if it is no text, or the header or the length of a row differs.
    """
    try:
        reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    except FileNotFoundError:
        return []
    rows = []
    try:
        header = next(reader, [])
        if header != list(columns):
            raise FileError(f"{path} has the columns {header}, expected {list(columns)}.")
        for values in reader:
            if len(values) != len(header):
                raise FileError(
                    f"{path}, line {reader.line_num}: {len(values)} values, expected {len(header)}."
                )
            rows.append(dict(zip(header, values, strict=True)))
    except csv.Error as error:
        raise FileError(f"{path}, line {reader.line_num}: {error}, expected CSV.") from error
    return rows


@contextlib.contextmanager
def locked(directory: Path, wait: bool = True) -> Iterator[None]:
    """Holds an exclusive lock on `directory`, which the system drops should the process die.

    Raises:
        BlockingIOError: if `wait` is false and another process holds it.
    """
    import filelock  # only what writes needs it

    lock = filelock.FileLock(directory / LOCK, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise BlockingIOError(f"{directory} is held by another process.") from error
    try:
        yield
    finally:
        lock.release()
