"""Where a result comes from: code, versions, machine."""

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy")


def now() -> str:
    """The time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def commit(directory: Path) -> tuple[str, bool]:
    """Git commit of the tree that holds `directory`, and whether Python files differ from it.

    ("unknown", True) outside a repository.
    """
    try:
        revision = _git(directory, "rev-parse", "HEAD").strip()
        top = _git(directory, "rev-parse", "--show-toplevel").strip()
        # Results and generated tables change while recording; the code is what must be clean.
        changes = _git(Path(top), "status", "--porcelain", "--", "*.py")
    except (OSError, subprocess.CalledProcessError):
        return "unknown", True
    return revision, bool(changes.strip())


@cache
def hardware() -> str:
    """Accelerators if the backend sees any, then the processor and the cores we may use."""
    names = [*_accelerators(), f"{_processor()} ({len(os.sched_getaffinity(0))} cores)"]
    return ", ".join(names)


def versions() -> dict[str, str]:
    """Version of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def command() -> str:
    """The command line, as one types it."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    if module is None:
        return shlex.join(sys.orig_argv[:1] + sys.argv)
    name = module.name.removesuffix(".__main__")
    return shlex.join(["python", "-m", name, *sys.argv[1:]])


def _git(directory: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["git", "-C", str(directory), *arguments], check=True, capture_output=True, text=True
    )
    return result.stdout


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _accelerators() -> list[str]:
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        details = tf.config.experimental.get_device_details
        devices = tf.config.list_physical_devices("GPU")
        return [str(details(device).get("device_name", device.name)) for device in devices]
    if backend == "jax":
        import jax

        return [device.device_kind for device in jax.devices() if device.platform != "cpu"]
    if backend == "torch":
        import torch

        return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return []
