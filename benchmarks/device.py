"""The device that is timed: choosing it, what limits its memory, and its load."""

import math
from pathlib import Path

import keras

from common.ops.loops import default_device
from common.reproduce.execute.memory import STATUS, kilobytes
from common.reproduce.provenance import load_averages


def choose_device(asked: str | None) -> str:
    """ "cpu" or "gpu": the one asked for, or a GPU if the backend sees one.

    Raises:
        ValueError: if the one asked for is not there.
    """
    there = default_device() == "gpu"
    if asked == "gpu" and not there:
        backend = keras.backend.backend()
        raise ValueError(f"--device is gpu, expected cpu: {backend} sees no GPU here.")
    return asked or ("gpu" if there else "cpu")


def limit_memory(fraction: float = 0.9) -> None:
    """Makes allocations beyond a fraction of the memory now available fail.

    Without this the system would kill the process for them, and the run with it.
    """
    available = kilobytes(Path("/proc/meminfo"), "MemAvailable")
    used = kilobytes(STATUS, "VmData")
    if available is None or used is None:
        return
    import resource  # not on Windows, which has no /proc either

    limit = 1024 * int(used + fraction * available)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def load_average() -> float:
    """Processes that ran or waited, on average over the last minute; NaN where none says."""
    return next(iter(load_averages()), math.nan)
