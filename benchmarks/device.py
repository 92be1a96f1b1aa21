"""The device that is timed: choosing it, and the peak of its memory."""

import contextlib
import ctypes
import gc
import math
from collections.abc import Callable
from pathlib import Path

import keras

from common.ops.loops import default_device
from common.reproduce.execute.timing import synchronise
from common.reproduce.provenance import load_averages

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


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
    available = _kilobytes(Path("/proc/meminfo"), "MemAvailable")
    used = _kilobytes(_STATUS, "VmData")
    if available is None or used is None:
        return
    import resource  # not on Windows, which has no /proc either

    limit = 1024 * int(used + fraction * available)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def peak_memory(call: Callable[[], object], device: str, torch: bool) -> int | None:
    """Bytes that one call needs at its peak beyond what is held before it, outputs included.

    On a GPU the allocator's counter; on a CPU the process's resident memory, free memory having
    been given back first. None where neither can be had.

    Args:
        call: what returns tensors.
        device: "cpu" or "gpu".
        torch: whether they are torch's.
    """
    gc.collect()
    if device == "gpu":
        if torch:
            return _peak_on_cuda(call)
        return _peak_of_tensorflow(call) if keras.backend.backend() == "tensorflow" else None
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    try:
        _CLEAR.write_text("5")  # the peak starts from here
    except OSError:
        return None
    before = _kilobytes(_STATUS, "VmRSS")
    result = call()
    synchronise(result)
    peak = _kilobytes(_STATUS, "VmHWM")
    return None if before is None or peak is None else 1024 * max(0, peak - before)


def _peak_of_tensorflow(call: Callable[[], object]) -> int:
    import tensorflow as tf

    tf.config.experimental.reset_memory_stats("GPU:0")
    before = tf.config.experimental.get_memory_info("GPU:0")["current"]
    result = call()
    synchronise(result)
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] - before


def _peak_on_cuda(call: Callable[[], object]) -> int:
    import torch

    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = call()
    synchronise(result)
    return torch.cuda.max_memory_allocated() - before


def _kilobytes(path: Path, name: str) -> int | None:
    try:
        for line in path.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    except OSError:
        pass
    return None


def load_average() -> float:
    """Processes that ran or waited, on average over the last minute; NaN where none says."""
    return next(iter(load_averages()), math.nan)
