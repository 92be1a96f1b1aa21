"""TensorFlow's compiled programs, timed on a machine that has JAX and no TensorFlow.

`python -m benchmarks --export DIR` writes, for every form and mode that is asked for, the program
that `tf.function(jit_compile=True)` hands to XLA, as it is for an accelerator (scans are
associative). `KERAS_BACKEND=jax python -m benchmarks --exported DIR` has XLA compile the programs
for the device there, compares what they compute with what TensorFlow computed, and times them.
"""

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.cases import Case, Implementation, find_cases
from benchmarks.gate import TOLERANCES
from benchmarks.models import Model
from benchmarks.options import Options
from benchmarks.programs import Workload
from benchmarks.rates import floor_bytes, flops, with_rates
from benchmarks.rows import BOTH, DISAGREES, Roofline, Row
from benchmarks.runner import classify
from benchmarks.sampling import sample_steadily, timed
from common.reproduce.execute.timing import call_seconds
from common.reproduce.files import FileError, read_json, write_bytes, write_json

PROGRAMS = "programs.json"
# Of an array that is compared: every so many-th number, so that about this many are kept.
KEPT = 4096
# Of larger arguments the mean and the deviation travel alone.
SMALL = 1 << 16


@dataclass(frozen=True)
class Exported:
    """A program, beside its files `<name>.hlo.gz` and `<name>.npz`.

    Attributes:
        name: of its files.
        row: what is known of its row before it is timed.
        arguments: of each argument its shape and dtype, and of those that are drawn the seed, mean
            and standard deviation; the others are in the file.
        outputs: how many.
    """

    name: str
    row: dict[str, Any]
    arguments: list[dict[str, Any]]
    outputs: int


def export(options: Options, directory: Path) -> list[Exported]:
    """Writes the programs of the forms that are asked for; those of the step and with gradients.

    Raises:
        ValueError: if the backend is not TensorFlow.
    """
    import keras

    if (backend := keras.backend.backend()) != "tensorflow":
        raise ValueError(f"--export: the backend is {backend}, expected tensorflow.")
    found: list[Exported] = []
    # What the ops choose where an accelerator is, which is not here.
    with mock.patch("common.ops.loops.default_device", return_value="gpu"):
        for case in find_cases(replace(options, peers=("none",)), "gpu"):
            for one in case.implementations:
                for mode, length in _cells(options, case):
                    name = f"{len(found):03d}"
                    found.append(_exported(case, one, mode, length, directory / name))
                    write_json(directory / PROGRAMS, {"programs": [asdict(each) for each in found]})
    return found


def _cells(options: Options, case: Case) -> Iterator[tuple[str, int]]:
    if "step" in options.timed_modes:
        yield "step", 1
    if "backward" in options.timed_modes:
        yield from ((BOTH, length) for length in case.lengths)


def _exported(case: Case, one: Implementation, mode: str, length: int, path: Path) -> Exported:
    import tensorflow as tf

    from benchmarks.programs.on_keras import function_of

    model = one.make()
    workload = case.workload(mode, case.batch, length)
    function, given = function_of(model, workload, "xla", explicit=True)
    stored: dict[str, np.ndarray] = {}
    told, tensors = [], []
    for index, tensor in enumerate(map(tf.convert_to_tensor, tf.nest.flatten(given))):
        told.append(_told(tensor, index))
        if "seed" in told[-1]:
            tensor = tf.cast(drawn(told[-1]), tensor.dtype)
        else:
            stored[f"argument{index}"] = np.asarray(tf.cast(tensor, "float32"))
        tensors.append(tensor)
    arguments = tf.nest.pack_sequence_as(given, tensors)
    if function.get_concrete_function(*arguments).variables:
        raise ValueError(f"{one.layers[0]} has weights that no training changes.")
    hlo = function.experimental_get_compiler_ir(*arguments)(stage="hlo_serialized")
    outputs = [x for x in tf.nest.flatten(function(*arguments)) if x is not None]
    for index, output in enumerate(outputs):
        stored[f"output{index}"] = thinned(np.asarray(tf.cast(output, "float32")))
    write_bytes(path.with_suffix(".hlo.gz"), gzip.compress(hlo, mtime=0))
    content = BytesIO()
    np.savez_compressed(content, **stored)  # type: ignore[arg-type]
    write_bytes(path.with_suffix(".npz"), content.getvalue())
    return Exported(path.name, _known(case, one, model, workload, length), told, len(outputs))


def _known(
    case: Case, one: Implementation, model: Model, workload: Workload, length: int
) -> dict[str, Any]:
    return {
        "layer": one.layers[0],
        "name": one.name if workload.mode == BOTH else "step",
        "compiler": "exported",
        "mode": workload.mode,
        "batch": case.batch,
        "length": length,
        "dtype": workload.dtype,
        "backend": "tensorflow",
        "flops": flops(model, workload.mode, case.batch, length),
        "floor_bytes": floor_bytes(model, workload),
        "parameters": model.parameters,
        "state_bytes": model.state_bytes,
    }


def _told(tensor: Any, index: int) -> dict[str, Any]:
    """What is told of an argument; a large one is drawn anew, to its mean and deviation."""
    told = {"dtype": tensor.dtype.name, "shape": list(tensor.shape)}
    value = np.asarray(tensor)
    if value.size <= SMALL:
        return told
    value = value.astype("float32")
    return told | {"seed": index, "mean": float(value.mean()), "stddev": float(value.std())}


def drawn(told: dict[str, Any]) -> np.ndarray:
    """Normal numbers, the same on every machine up to rounding."""
    noise = np.random.default_rng(told["seed"]).standard_normal(told["shape"], "float32")
    return np.float32(told["mean"]) + np.float32(told["stddev"]) * noise


def thinned(values: np.ndarray) -> np.ndarray:
    """About `KEPT` numbers, evenly spread over the flat array."""
    flat = values.reshape(-1)
    return flat[:: max(1, flat.size // KEPT)]


def load(directory: Path, dtype: str) -> list[Exported]:
    """The programs in `directory`.

    Raises:
        FileError: if there are none.
        ValueError: if they compute in another dtype, or the backend is not JAX.
    """
    import keras

    content = read_json(directory / PROGRAMS)
    if content is None:
        raise FileError(f"--exported is {directory}, expected a directory that --export wrote.")
    if keras.backend.backend() != "jax":
        raise ValueError(f"--exported is {directory}, expected none where JAX is not the backend.")
    programs = [Exported(**one) for one in content["programs"]]
    for other in {one.row["dtype"] for one in programs} - {dtype}:
        raise ValueError(f"--dtype is {dtype}, expected {other}, that of the programs.")
    return programs


def run(
    programs: Sequence[Exported],
    directory: Path,
    options: Options,
    device: str,
    done: Sequence[Row],
    roofline: Roofline,
) -> Iterator[Row]:
    """Rows, each as soon as it is measured; a program that computes something else is not timed."""
    finished = {row.key for row in done}
    for one in programs:
        row = Row(device=device, **one.row)
        if row.key in finished:
            continue
        try:
            call = _compiled(one, directory)
            first = call_seconds(call)
            message = _difference(one, directory, call, TOLERANCES[row.dtype][device])
            if message:
                yield replace(row, status=DISAGREES, message=message)
                continue
            timing = sample_steadily({"": call}, {"": first}, options)[""]
            if isinstance(timing, Exception):
                raise timing
        except Exception as error:
            status, message = classify(error)
            yield replace(row, status=status, message=message)
            continue
        yield with_rates(timed(row, timing), timing.median, roofline)


def _compiled(one: Exported, directory: Path) -> Any:
    """A function without arguments that runs the program on JAX's first device."""
    import jax
    from jaxlib import _jax

    device = jax.devices()[0]
    hlo = gzip.decompress((directory / f"{one.name}.hlo.gz").read_bytes())
    module = _jax.mlir.hlo_to_stablehlo(hlo)
    devices = _jax.DeviceList((device,))
    executable = device.client.compile_and_load(module, devices, _jax.CompileOptions())
    with np.load(directory / f"{one.name}.npz") as stored:
        values = [
            drawn(told) if "seed" in told else stored[f"argument{i}"]
            for i, told in enumerate(one.arguments)
        ]
    buffers = [
        jax.device_put(jax.numpy.asarray(value, told["dtype"]), device)
        for value, told in zip(values, one.arguments, strict=True)
    ]

    def call() -> list[Any]:
        results = executable.execute_sharded(buffers)
        return [parts[0] for parts in results.disassemble_into_single_device_arrays()]

    return call


def _difference(one: Exported, directory: Path, call: Any, tolerance: float) -> str:
    """How far the program is from what TensorFlow computed; empty if it agrees."""
    outputs = call()
    if len(outputs) != one.outputs:
        return f"{len(outputs)} outputs, expected {one.outputs}"
    with np.load(directory / f"{one.name}.npz") as stored:
        for i, output in enumerate(outputs):
            got = thinned(np.asarray(output).astype("float32"))
            want = stored[f"output{i}"]
            error = np.max(np.abs(got - want)) / max(float(np.max(np.abs(want))), 1e-30)
            if not error <= tolerance:  # NaN disagrees
                return f"output {i} differs by {error:.2g} of the largest, tolerance {tolerance:g}"
    return ""
