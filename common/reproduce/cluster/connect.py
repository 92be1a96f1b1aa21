"""Starts a Ray cluster on this machine, or joins one that runs."""

import importlib
import os
import re
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from common.reproduce.execute.interrupts import SIGNALS
from common.reproduce.provenance import cores

LOCAL, AUTO = "local", "auto"

_ADDRESS = re.compile(r"([\w.-]+):(\d{1,5})")
_OBJECT_STORE = 128 * 2**20  # bytes; runs on this machine find their files on its disk
_REACHED_IN = 5.0  # seconds


def check_address(address: str) -> None:
    """Checks what `--cluster` was given, and that Ray is installed.

    Raises:
        ValueError: if it is no address, or Ray is missing.
    """
    if address not in (LOCAL, AUTO) and not _ADDRESS.fullmatch(address):
        raise ValueError(f"--cluster is {address!r}, expected local, auto or HOST:PORT.")
    _import_ray()


@contextmanager
def connected(address: str, environment: Mapping[str, str], verbose: bool) -> Iterator[Any]:
    """Within, this process is the driver of a cluster.

    Args:
        address: "local" starts a cluster on this machine, which ends with this process; "auto"
            joins the one that runs here or that RAY_ADDRESS names; else HOST:PORT of its head.
        environment: variables that every worker has from its start.
        verbose: whether to show what Ray and the workers say.

    Yields:
        The module `ray`.

    Raises:
        ValueError: if there is no such cluster.
    """
    ray = _import_ray()
    options: dict[str, Any] = {
        "log_to_driver": verbose,
        "logging_level": "INFO" if verbose else "ERROR",
    }
    if address == LOCAL:
        os.environ.update(environment)  # its workers inherit them
        options |= {
            "num_cpus": cores(),
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
            "object_store_memory": _OBJECT_STORE,
        }
    else:
        if match := _ADDRESS.fullmatch(address):
            _reach(match[1], int(match[2]))
        options |= {"address": address, "runtime_env": {"env_vars": dict(environment)}}
    if not verbose:
        # Also what a raylet says of a lost worker, which the driver tells in its own words.
        ray._private.worker._worker_logs_enabled = False
    handlers = {number: signal.getsignal(number) for number in SIGNALS}  # Ray puts its own there
    try:
        ray.init(**options)
    except ConnectionError as error:
        raise ValueError(
            f"--cluster is {address!r}, and no Ray cluster answers there: `ray start --head` "
            "starts one."
        ) from error
    for number, handler in handlers.items():
        signal.signal(number, handler)
    try:
        yield ray
    finally:
        ray.shutdown()


def _import_ray() -> Any:
    # Read when it is imported: it is to send no statistics of its use.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise ValueError(
            "--cluster needs Ray, which is not installed: pip install 'keras-papers[cluster]'."
        ) from error


def _reach(host: str, port: int) -> None:
    """Ray itself waits for minutes for what is not there."""
    try:
        socket.create_connection((host, port), _REACHED_IN).close()
    except OSError as error:
        raise ValueError(
            f"--cluster is '{host}:{port}', which does not answer: {error}. Expected the head of "
            "a Ray cluster, as `ray start --head` prints it."
        ) from error
