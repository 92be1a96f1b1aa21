"""What a run ran on."""

import os
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

from benchmarks.options import Options
from benchmarks.rows import Roofline
from common.reproduce.provenance import command, commit, hardware, now, versions

# Bytes above which glibc maps an allocation anew, page by page, each time.
_MALLOC = "MALLOC_MMAP_THRESHOLD_"
_PEERS = ("keras-lmu", "mambapy", "transformers", "flash-linear-attention", "triton")


def environment(options: Options, device: str, roofline: Roofline, load: float) -> dict[str, Any]:
    """Machine, versions, commit, limits and options, as JSON values."""
    revision, dirty = commit(Path(__file__).parent)
    return {
        "command": command(),
        "date": now(),
        "commit": revision,
        "dirty": dirty,
        "hardware": hardware(),
        "device": device,
        "backend": keras.backend.backend(),
        "versions": versions() | _peer_versions(),
        "load_before": load,
        "roofline": asdict(roofline),
        "variables": {
            name: os.environ[name]
            for name in ("KERAS_BACKEND", "XLA_FLAGS", "TF_XLA_FLAGS", "OMP_NUM_THREADS", _MALLOC)
            if name in os.environ
        },
        "samples": options.sample_count,
        "options": {name: _plain(value) for name, value in asdict(options).items()},
    }


def _peer_versions() -> dict[str, str]:
    found = {}
    for package in _PEERS:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
