"""Freed memory: glibc returns it to the kernel by default, and keeps it where told so."""

import mmap
import os
import platform
import subprocess
import sys

import pytest

from common import allocator

# Page faults of 50 arrays of 64 MiB, each freed before the next, after a first one.
_COUNT = """
import resource
import numpy as np
from common.allocator import keep_freed_memory
if {keep}:
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.full(2**26, 1, "int8")
before = faults()
for _ in range(50):
    np.full(2**26, 1, "int8")
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_memory_that_is_kept_is_not_mapped_again():
    pages = 50 * 2**26 // mmap.PAGESIZE
    mapped = {keep: int(printed(_COUNT.format(keep=keep))) for keep in (True, False)}
    assert mapped[True] < pages / 100
    # Without it there is at least a page fault for each huge page of each array.
    assert mapped[False] >= 50 * 2**26 // 2**21


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert allocator.keep_freed_memory() is False


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert allocator.keep_freed_memory() is False


def printed(code: str) -> str:
    # Whoever runs the tests may have told glibc so by variables.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
