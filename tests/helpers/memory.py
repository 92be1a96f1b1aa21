"""Memory given back between tests, which compile thousands of programs."""

import ctypes
import gc
import sys
from pathlib import Path

import keras

_GROWTH = 256 * 2**20
_STATM = Path("/proc/self/statm")


class Memory:
    """Gives memory back whenever a process has grown by a quarter of a gigabyte; on Linux."""

    def __init__(self):
        self.held = self.resident()

    @staticmethod
    def resident() -> int:
        """Bytes of this process in memory, 0 where that is not to be had."""
        return 4096 * int(_STATM.read_text().split()[1]) if _STATM.exists() else 0

    def tidy(self) -> None:
        """Drops what no test needs any more, if that may be much."""
        if self.resident() < self.held + _GROWTH:
            return
        gc.collect()
        if keras.backend.backend() == "jax":
            import jax

            jax.clear_caches()
        elif keras.backend.backend() == "tensorflow":
            from tensorflow.python.eager import context

            context.context().clear_kernel_cache()
        if sys.platform == "linux":
            # What was freed lies between what is used, and glibc keeps it.
            getattr(ctypes.CDLL(None), "malloc_trim", int)(0)
        self.held = self.resident()
