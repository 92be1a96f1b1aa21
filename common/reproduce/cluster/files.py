"""A run's files as they travel, where driver and worker do not see the same directory."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.reproduce.files import write_bytes

Files = dict[str, bytes]
"""Path within the run's directory to content."""

BOARD = "tensorboard"  # written anew by every attempt
EVERY_SECONDS = 1.0
_LAST = "summary.json"  # a run that has it is finished


def read_files(directory: Path) -> Files:
    """All files of a run but for locks and what is half written."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def write_files(directory: Path, files: Files) -> None:
    """Writes files of a run, each whole, the summary last."""
    if any(name.startswith(f"{BOARD}/") for name in files):
        shutil.rmtree(directory / BOARD, ignore_errors=True)
    for name in sorted(files, key=lambda name: (name == _LAST, name)):
        write_bytes(directory / name, files[name])


@contextmanager
def sent_when_changed(directory: Path, send: Callable[[Files], None]) -> Iterator[None]:
    """Within, what a run needs to be resumed is sent whenever it was written.

    Files of runs are replaced and never rewritten in place, so one that is read is whole.
    """
    ended = threading.Event()
    seen: dict[Path, int] = {}

    def watch() -> None:
        while not ended.wait(EVERY_SECONDS):
            times = {
                path: path.stat().st_mtime_ns
                for path in directory.glob("[!.]*")
                if path.is_file() and path.name != _LAST
            }
            if new := [path for path, time in times.items() if seen.get(path) != time]:
                send({path.name: path.read_bytes() for path in new})
                seen.update(times)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
