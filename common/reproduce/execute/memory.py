"""The peak of memory that a call needs."""

import contextlib
import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

import keras

from common.reproduce.execute.timing import synchronise

STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


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
    before = kilobytes(STATUS, "VmRSS")
    result = call()
    synchronise(result)
    peak = kilobytes(STATUS, "VmHWM")
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


def kilobytes(path: Path, name: str) -> int | None:
    """A size in one of Linux's files of lines "name: size kB"; None where that isn't to be had."""
    try:
        for line in path.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    except OSError:
        pass
    return None
