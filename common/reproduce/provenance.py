"""Where a result comes from: code, versions, machine."""

import contextlib
import importlib.util
import json
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
BACKENDS = ("tensorflow", "jax", "torch")

# Linux alone has it.
CPU_INFO = Path("/proc/cpuinfo")


def now() -> str:
    """The time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


_STARTED = now()


def process() -> str:
    """When this process started, and its number: no two processes of a machine have the same."""
    return f"{_STARTED} {os.getpid()}"


def backend() -> str:
    """The backend that Keras takes, without importing it.

    Raises:
        ValueError: if it is none of ours, or not installed.
    """
    name, source = os.environ.get("KERAS_BACKEND", ""), "KERAS_BACKEND"
    if not name:
        home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
        try:
            name = str(json.loads((home / "keras.json").read_text("utf-8"))["backend"])
            source = f"backend in {home / 'keras.json'}"
        except (OSError, ValueError, KeyError, TypeError):  # as Keras does, take the default
            name = "tensorflow"
    if name not in BACKENDS or importlib.util.find_spec(name) is None:
        installed = [one for one in BACKENDS if importlib.util.find_spec(one) is not None]
        raise ValueError(f"{source} is {name!r}, expected one of {' '.join(installed)}.")
    return name


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
    return ", ".join([*_accelerators(), f"{_processor()} ({cores()} cores)"])


def cores() -> int:
    """How many cores this process may use; where the system does not say, how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads() -> str:
    """Threads that were asked for, of OpenMP and within and between TensorFlow's operations."""
    asked = {"omp": os.environ.get("OMP_NUM_THREADS", "")}
    if backend() == "tensorflow":
        import tensorflow as tf

        asked["intra"] = str(tf.config.threading.get_intra_op_parallelism_threads())
        asked["inter"] = str(tf.config.threading.get_inter_op_parallelism_threads())
    return " ".join(f"{name} {number or 'default'}" for name, number in asked.items())


def load_averages() -> tuple[float, ...]:
    """Over 1, 5 and 15 minutes; none where the system does not say."""
    return os.getloadavg() if hasattr(os, "getloadavg") else ()


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
    return _output("git", "-C", str(directory), *arguments)


def _output(*command: str) -> str:
    # Paths in Git's output are UTF-8 on every system.
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout


def _processor() -> str:
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        if platform.system() == "Darwin":
            return _output("sysctl", "-n", "machdep.cpu.brand_string").strip()
        for line in CPU_INFO.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _accelerators() -> list[str]:
    name = backend()
    if name == "tensorflow":
        import tensorflow as tf

        details = tf.config.experimental.get_device_details
        devices = tf.config.list_physical_devices("GPU")
        return [str(details(device).get("device_name", device.name)) for device in devices]
    if name == "jax":
        import jax

        return [device.device_kind for device in jax.devices() if device.platform != "cpu"]
    if name == "torch":
        import torch

        return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return []
