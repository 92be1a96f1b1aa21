"""What a run takes of a cluster, and whether a machine has it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from common.reproduce.declare.spec import Preset

_GIB = 2**30
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC")


@dataclass(frozen=True)
class Resources:
    """What one run takes.

    Attributes:
        cpus: cores, and threads.
        gpus: accelerators.
        memory: bytes.
    """

    cpus: int
    gpus: int
    memory: int

    def __str__(self) -> str:
        gpus = f", {self.gpus} GPU" + "s" * (self.gpus != 1) if self.gpus else ""
        return f"{self.cpus} CPUs{gpus}, {self.memory / _GIB:g} GiB"

    def fit(self, machine: Mapping[str, float]) -> bool:
        """Whether a machine has them, by its `Resources` as Ray names them."""
        has = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        return all(machine.get(name, 0) >= amount for name, amount in has.items())

    def options(self) -> dict[str, Any]:
        """As a Ray task takes them."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, "memory": self.memory}


def resources(preset: Preset, machines: Iterable[Mapping[str, float]]) -> Resources:
    """What a run of a preset takes; without a word on GPUs, one where a machine has any."""
    gpus = preset.gpus
    if gpus is None:
        gpus = int(any(machine.get("GPU", 0) >= 1 for machine in machines))
    return Resources(preset.cpus, gpus, int(preset.memory_gib * _GIB))


def environment(preset: Preset, backend: str) -> dict[str, str]:
    """Variables of a worker, which its libraries read when they are loaded: threads and backend."""
    threads = dict.fromkeys(_THREADS, str(preset.cpus))  # NPROC is XLA's, of JAX
    return {
        **threads,
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a run that takes no GPU sees none
    }


def pin_threads(number: int, backend: str) -> None:
    """Threads of TensorFlow, in a worker that has computed nothing yet; the others read them."""
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(number)
        tf.config.threading.set_inter_op_parallelism_threads(number)
