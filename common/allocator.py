"""What the C library does with large arrays that are freed."""

import ctypes
import sys

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Keeps the memory of large arrays that are freed, for the next ones, in this process.

    By default glibc maps arrays of some size (128 KiB at first, at most 32 MiB) from the kernel one
    by one and returns them when they are freed, and the kernel zeroes every page of each again.
    TensorFlow's XLA takes its temporary arrays at every call on a CPU, and up to a third of a
    call's time goes there (benchmarks/NOTES.md). No number changes. The process holds what it once
    took, for as long as it runs.

    Returns:
        Whether the C library is one that can be told so, glibc; without it nothing is done.
    """
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    # No array is mapped by itself, and the heap never shrinks.
    return all([library.mallopt(_MMAP_MAX, 0), library.mallopt(_TRIM_THRESHOLD, -1)])
