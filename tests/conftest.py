"""Set up before any backend is imported: quiet logs, float64 that stays float64.

Beside it what the default run takes (`grid.py`), and memory given back now and then.
"""

import gc
import importlib.util
import os
import tempfile
from importlib import metadata

from packaging.version import Version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("JAX_ENABLE_X64", "1")
# The suite compiles thousands of tiny programs; optimising them takes longer than running.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
FLAGS = ["--xla_cpu_parallel_codegen_split_count=1", "--xla_backend_optimization_level=0"]
# JAX ends the process at a flag that it does not know, as 0.11 this one.
if Version(metadata.version("jax")) < Version("0.11"):
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("XLA_FLAGS", " ".join(FLAGS))
if "PYTEST_XDIST_WORKER" in os.environ:  # which share the cores: a thread each takes a tenth less
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

# Evaluation sets are frozen where no others lie, once for all workers.
if "TFDS_DATA_DIR" not in os.environ:
    DATA = tempfile.TemporaryDirectory(prefix="tensorflow_datasets-", ignore_cleanup_errors=True)
    os.environ["TFDS_DATA_DIR"] = DATA.name

if importlib.util.find_spec("triton"):  # which ends a process where TensorFlow came before it
    from benchmarks.frameworks import import_torch_first

    import_torch_first()

import pytest  # noqa: E402

from common.precision import keep_float64  # noqa: E402
from tests.grid import leave_to_the_grid  # noqa: E402
from tests.helpers.memory import Memory  # noqa: E402

# The references of functions that stand in no layer need all of float64, as layers do.
keep_float64()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    leave_to_the_grid(items)


def pytest_collection_finish():
    """Takes what was imported out of all later searches for garbage, of which Keras orders many."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def _memory():
    return Memory()


@pytest.fixture(autouse=True)
def _tidy(_memory):
    yield
    _memory.tidy()
